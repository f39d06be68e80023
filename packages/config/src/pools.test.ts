import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { PoolInput } from './define-config.ts';
import { declaredMachines, type Pool } from './farm-config.ts';
import { parseConfig } from './parse-config.ts';
import { readConfig } from './read-config.ts';

const poolOf = (pool: PoolInput): Pool | undefined => readConfig({ dataDir: 'd', pools: [pool] }).pools[0];

function mistakes(pool: object): string[] {
  const parsed = parseConfig({ dataDir: 'd', pools: [pool] }, { environment: 'local', dir: '/' });
  if (!('issues' in parsed)) return [];
  const told = (path: readonly unknown[]): string => path.slice(2).join('.');
  return parsed.issues.map(({ path, message, nearest }) => `${told(path)}: ${message}${nearest === undefined ? '' : ` (${nearest})`}`);
}

test('a Docker pool needs an image and no more, and reaches no network unless told to', () => {
  const pool = poolOf({ kind: 'docker', image: 'debian:12' });
  assert.ok(pool?.kind === 'docker');
  assert.deepEqual([pool.name, pool.size, pool.network, pool.processes, pool.readOnly], ['docker', 1, 'none', 4096, false]);
  assert.deepEqual(pool.labels, ['linux', process.arch, pool.hostType, 'isolated-container']);
  assert.deepEqual(mistakes({ kind: 'docker' }), ['image: is missing']);
});

test('sizes are texts, too, and swap or processes are never unlimited', () => {
  const pool = poolOf({ kind: 'docker', image: 'a', memoryBytes: '2GiB', treeBytesInMemory: '1GB', orphanedMs: '10m', cpus: 1.5 });
  assert.ok(pool?.kind === 'docker');
  assert.deepEqual([pool.memoryBytes, pool.treeBytesInMemory, pool.orphanedMs], [2 ** 31, 1e9, 600_000]);
  assert.deepEqual(mistakes({ kind: 'docker', image: 'a', memoryBytes: '1MB' }), [
    'memoryBytes: is less than the 64 MB that a machine itself needs',
  ]);
});

test('what would open a machine to its host is refused', () => {
  const refused = [
    { network: 'host' },
    { network: 'container:database' },
    { mounts: [{ source: 'relative', target: '/a' }] },
    { mounts: [{ source: '/a/../b', target: '/a' }] },
    { mounts: [{ source: '/a', target: '/' }] },
    { mounts: [{ source: '/a', target: '/croft/node' }] },
    { mounts: [{ source: '/a:/b', target: '/c' }] },
    { user: 'root' },
    { socketPath: 'tcp://10.0.0.1:2375' },
  ];
  for (const settings of refused) assert.equal(mistakes({ kind: 'docker', image: 'a', ...settings }).length, 1, JSON.stringify(settings));
});

test('a mistake is told of the kind that was meant', () => {
  assert.deepEqual(mistakes({}), ['kind: is missing; it is one of local, docker, reverse']);
  assert.deepEqual(mistakes({ kind: 'dokcer' }), ['kind: "dokcer" is not one of local, docker, reverse (docker)']);
  assert.deepEqual(mistakes({ kind: 'local', imag: 'a' }), ['imag: there is no such setting']);
  assert.deepEqual(mistakes({ kind: 'docker', imag: 'a' }), ['image: is missing', 'imag: there is no such setting (image)']);
});

test('machines that dial in belong to one pool by their host type', () => {
  const hostTypes = [{ name: 'host-a' }];
  const pools: PoolInput[] = [
    { kind: 'reverse', name: 'a', hostType: 'host-a' },
    { kind: 'reverse', name: 'b', hostType: 'host-a' },
  ];
  const parsed = parseConfig({ dataDir: 'd', hostTypes, pools }, { environment: 'local', dir: '/' });
  assert.ok('issues' in parsed);
  assert.deepEqual(
    parsed.issues.map(({ path, message }) => `${path.join('.')}: ${message}`),
    ['pools.1.hostType: another pool takes the machines of "host-a" that dial in'],
  );
  assert.deepEqual(mistakes({ kind: 'reverse' }), ['hostType: is missing']);
});

test('the machines of all pools count', () => {
  const pools: PoolInput[] = [
    { kind: 'local', size: 2 },
    { kind: 'docker', image: 'a', size: 3 },
    { kind: 'reverse', hostType: `host-${process.platform}-${process.arch}`, expect: 4 },
  ];
  assert.equal(declaredMachines(readConfig({ dataDir: 'd', pools }).pools), 9);
});

test('what must be isolated, and whoever is not trusted, gets machines of Docker pools only', () => {
  const builder = { repo: 'app', steps: [{ name: 'test', argv: ['true'] }] };
  const needs = (more: object, pools: readonly PoolInput[]): readonly string[] | undefined => {
    const repos = [{ name: 'app', url: '/srv/app' }];
    return readConfig({ dataDir: 'd', repos, pools, builders: [{ name: 'unit', ...builder, ...more }] }).builders[0]?.needs.labels;
  };
  const docker: PoolInput = { kind: 'docker', image: 'a' };
  assert.deepEqual(needs({}, [docker]), []);
  assert.deepEqual(needs({ isolation: 'container' }, [docker]), ['isolated-container']);
  assert.deepEqual(needs({ trust: 'untrusted' }, [docker, { kind: 'local' }]), ['isolated-container']);
  assert.throws(() => needs({ trust: 'untrusted' }, [{ kind: 'local' }]), /one of the kind docker can/);
  assert.throws(() => needs({ isolation: 'vm' }, [docker]), /isolation: no kind of pool has machines of its own/);
  assert.ok(poolOf(docker)?.labels.includes('isolated-container'));
});

test('no local machine can be said to isolate', () => {
  assert.deepEqual(mistakes({ kind: 'local', labels: ['isolated-container'] }), [
    'labels.0: is for Croft alone to give: to pools of kind docker',
  ]);
  for (const hostType of [{ name: 'isolated-container' }, { name: 'host-a', labels: ['isolated-container'] }]) {
    assert.throws(() => readConfig({ dataDir: 'd', hostTypes: [hostType] }), /is for Croft alone to give/);
  }
});

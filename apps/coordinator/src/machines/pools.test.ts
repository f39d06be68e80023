import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { ConfigInput } from '@croft/config/define-config';
import type { Pool as Declared } from '@croft/config/farm-config';
import { readConfig } from '@croft/config/read-config';
import { CroftError, isCode } from '@croft/runtime/errors';
import { openPools, type KindPool, type Openers } from './pools.ts';

const poolsOf = (...pools: NonNullable<ConfigInput['pools']>): readonly Declared[] => readConfig({ dataDir: '/srv/farm', pools }).pools;

/** Opens pools that note what is asked of them. */
function stage(): { told: string[]; openers: Openers } {
  const told: string[] = [];
  const open = async <D extends Declared & { size: number }>({ name, kind }: D): Promise<KindPool<D>> => {
    if (name === 'broken') throw new CroftError('exhausted', 'the disk is full');
    told.push(`open ${kind} ${name}`);
    return {
      name,
      declare: (wanted) => void told.push(`${name} ${wanted.size}`),
      drain: () => void told.push(`drain ${name}`),
      reconcile: async () => [],
      connect: () => assert.fail('nobody asks for a machine'),
      async replace() {},
      async endAll() {},
      async [Symbol.asyncDispose]() {
        told.push(`close ${name}`);
      },
    };
  };
  const nobodyDialsIn = async (): Promise<never> => assert.fail('no machine dials in');
  return { told, openers: { local: open, docker: open, reverse: nobodyDialsIn } };
}

test('a pool that is gone is drained and stays until the end, one that comes back is the same', async () => {
  const { told, openers } = stage();
  await using pools = await openPools(poolsOf({ kind: 'local', name: 'a', size: 2 }), openers);
  told.length = 0;
  await pools.declare(poolsOf({ kind: 'docker', name: 'b', image: 'debian', size: 1 }));
  assert.deepEqual(told.splice(0), ['open docker b', 'drain b', 'drain a', 'b 1']);
  assert.deepEqual(
    pools.list().map(({ name }) => name),
    ['a', 'b'],
  );
  await pools.declare(poolsOf({ kind: 'local', name: 'a', size: 3 }));
  assert.deepEqual(told.splice(0), ['a 3', 'drain b']);
  await pools[Symbol.asyncDispose]();
  assert.deepEqual(told, ['close b', 'close a']);
});

test('what cannot be opened leaves the others as they are', async () => {
  const { told, openers } = stage();
  await using pools = await openPools(poolsOf({ kind: 'local', name: 'a', size: 2 }), openers);
  told.length = 0;
  const declared = poolsOf(
    { kind: 'local', name: 'a', size: 1 },
    { kind: 'local', name: 'new', size: 1 },
    { kind: 'local', name: 'broken', size: 1 },
  );
  await assert.rejects(pools.declare(declared), /the disk is full/);
  assert.deepEqual(told, ['open local new', 'drain new'], 'without machines');
});

test('a pool of another kind under a name that has machines is refused, and nothing changes', async () => {
  const { told, openers } = stage();
  await using pools = await openPools(poolsOf({ kind: 'local', name: 'a', size: 2 }), openers);
  told.length = 0;
  const declared = poolsOf({ kind: 'local', name: 'new' }, { kind: 'docker', name: 'a', image: 'debian' });
  await assert.rejects(
    pools.declare(declared),
    (error) => isCode(error, 'invalid') && /kind local .* declared as docker/.test(String(error)),
  );
  assert.deepEqual(told, []);
});

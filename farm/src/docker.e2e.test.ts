/** Builds in containers, as people declare them, on a Docker daemon of the test's own. */
import assert from 'node:assert/strict';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { dockerMissing, startDocker, type TestDaemon } from '@croft/fleet/testing-docker';
import type { Farm } from '@croft/protocol/api';
import { endedBuild, getBuild, listBuilds, logOf, onlyBuild } from './testing-builds.ts';
import { makeRepo, type TestRepo } from './testing-repo.ts';
import { makeStage, type Stage } from './testing-stage.ts';
import { startFarm, type FarmOptions } from './testing.ts';

let daemon: TestDaemon;

function configOf(repo: TestRepo, { dir }: Stage): NonNullable<FarmOptions['config']> {
  const { image, socketPath } = daemon;
  return {
    repos: [{ name: 'app', url: repo.dir, depth: 1 }],
    builders: [{ name: 'contained', repo: 'app', isolation: 'container' }],
    pools: [
      { kind: 'local', size: 1 },
      { kind: 'docker', image, socketPath, memoryBytes: '1GB', mounts: [{ source: dir, target: dir, writable: true }] },
    ],
  };
}

/** Which containers are machines, by the labels that people can see. */
function machines(format = '{{.ID}} {{.Label "croft.pool"}} {{.Label "croft.machine"}} {{.Label "croft.dir"}}'): string[] {
  return daemon.docker('ps', '--all', '--no-trunc', '--filter', 'label=croft.machine', '--format', format).split('\n').filter(Boolean);
}

describe('builds in containers', { skip: dockerMissing(process.env) }, () => {
  before(async () => void (daemon = await startDocker()));
  after(() => daemon?.[Symbol.asyncDispose]());

  test('a build in a container goes on over a kill -9 of the coordinator, and its machine serves no other build', async () => {
    await using stage = await makeStage();
    const counts = 'for n in $(seq 1 200); do say "line $n"; sleep 0.01; done';
    const body = `if [ -e /left ]; then say stale; fi; touch /left; ${counts}; mark half x; wait_at end; say done`;
    await using repo = await makeRepo(stage.script(body));
    await using farm = await startFarm({ config: configOf(repo, stage) });
    const { id } = await onlyBuild(farm);
    const run = `${id}.1.ci`;
    await farm.waitFor('the command', () => stage.markedPid(run));
    await farm.waitFor('some output', async () => (await logOf(farm, id)).length > 0);
    const [container = ''] = machines();
    assert.match(container, new RegExp(`^[0-9a-f]{64} docker docker-1 ${farm.dataDir}/containers$`));
    await farm.kill9();
    await farm.waitFor('output beyond the kill', () => stage.marked(run, 'half'));
    assert.deepEqual(machines(), [container], 'the container outlives the coordinator');
    await farm.restart();
    assert.equal((await getBuild(farm, id)).state, 'running');
    await stage.open('end');
    const build = await endedBuild(farm, id);
    assert.deepEqual([build.end, build.attemptList.map(({ machine }) => machine)], [{ kind: 'passed' }, ['docker-1']]);
    assert.deepEqual(await logOf(farm, id), await stage.said(run));

    const next = await repo.commit({ a: '1\n' });
    await farm.api('POST', '/api/v1/repos/app/notify');
    const second = await farm.waitFor('the next build', async () => (await listBuilds(farm)).find(({ revision }) => revision === next));
    assert.deepEqual((await endedBuild(farm, second.id)).end, { kind: 'passed' });
    assert.match((await logOf(farm, second.id)).toString(), /^line 1\n/, 'what the first build left is gone with its container');
  });

  test('the containers of a pool that was taken out of the configuration go; those of a farm that is gone are told on /farm', async () => {
    await using stage = await makeStage();
    await using repo = await makeRepo('#!/bin/sh\n');
    const config = configOf(repo, stage);
    const dataDir = await mkdtemp(join(tmpdir(), 'croft-farm-'));
    const former = await mkdtemp(join(tmpdir(), 'croft-farm-'));
    for (const dir of [dataDir, former]) {
      await using farm = await startFarm({ config, dataDir: dir });
      await farm.waitFor('its machine', async () => machines().some((line) => line.endsWith(`${dir}/containers`)));
      await endedBuild(farm, (await onlyBuild(farm)).id);
      await farm.stop('SIGTERM');
    }
    await rm(former, { recursive: true });
    const pools = config.pools?.map((pool) => (pool.kind === 'docker' ? { ...pool, name: 'other' } : pool));
    const late = { kind: 'docker' as const, name: 'late', image: 'nothing:1', socketPath: daemon.socketPath };
    await using farm = await startFarm({ config: { ...config, pools: [...(pools ?? []), late] }, dataDir });
    await farm.waitFor('the orphan removed', async () => machines('{{.Label "croft.pool"}}').toSorted().join(' ') === 'docker other');
    const told = await farm.waitFor('the stray told', async () => {
      const page = await (await fetch(`${farm.url}/farm`)).text();
      return /the farm of [^ ]* is gone[^<]*docker rm -f ([0-9a-f]+)/.exec(page)?.[1];
    });
    daemon.docker('rm', '-f', told);
    await farm.waitFor('the missing image told', async () => {
      const found = (await farm.api<Farm>('GET', '/api/v1/farm')).machines.find(({ id }) => id === 'late-1');
      return found?.state === 'away' && /does not have its image nothing:1/.test(found.evidence ?? '');
    });
    await farm.ctrlC();
    assert.deepEqual(machines(), []);
    await rm(dataDir, { recursive: true });
  });
});

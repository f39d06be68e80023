import { test } from 'node:test';
import assert from 'node:assert/strict';
import { readdirSync } from 'node:fs';
import { mkdir, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { ConfigInput } from '@croft/config/define-config';
import { buildThat, endedBuild, getBuild, logOf, onlyBuild } from './testing-builds.ts';
import { findProcess, kernelGroupsOf, killAll, processesOf } from './testing-processes.ts';
import { makeRepo, type TestRepo } from './testing-repo.ts';
import { makeStage } from './testing-stage.ts';
import { startFarm } from './testing.ts';

/** What `npm start -- --repo` makes of it, for the coordinator as a program of its own. */
function configOf(repo: TestRepo): Partial<ConfigInput> {
  return {
    repos: [{ name: 'repo', url: repo.dir }],
    builders: [{ name: 'ci', repo: 'repo', steps: 'detect' }],
    pools: [{ kind: 'local' }],
  };
}

test('Ctrl-C on npm start ends everything it started; what was cut short runs again and that does not count, however often', async () => {
  await using stage = await makeStage();
  await using repo = await makeRepo(stage.script('say begun; linger; wait_at end; say done'));
  await using farm = await startFarm({ repo: repo.dir, npm: true });
  const { id } = await onlyBuild(farm);
  for (const attempt of [1, 2, 3]) {
    const lingers = await farm.waitFor(`attempt ${attempt}`, () => stage.markedPid(`${id}.${attempt}.ci`, 'lingers'));
    await farm.ctrlC();
    await farm.waitFor('every process gone', () => processesOf(farm.dataDir).length === 0);
    assert.equal(findProcess(lingers), undefined);
    assert.deepEqual(kernelGroupsOf(id), []);
    await farm.restart();
  }
  await stage.open('end');
  const build = await endedBuild(farm, id);
  assert.deepEqual(build.end, { kind: 'passed' });
  const ends = build.attemptList.map(({ end }) => (end?.kind === 'infra' ? end.cause : end?.kind));
  assert.deepEqual(ends, ['farm-stopped', 'farm-stopped', 'farm-stopped', 'passed']);
  assert.equal((await logOf(farm, id, 1)).toString(), 'begun\n');
  assert.equal((await logOf(farm, id, 4)).toString(), 'begun\ndone\n');
});

test('closing the terminal of npm start ends everything it started, though nobody can read what it says', async () => {
  await using stage = await makeStage();
  await using repo = await makeRepo(stage.script('say begun; linger; wait_at end'));
  await using farm = await startFarm({ repo: repo.dir, npm: true });
  const { id } = await onlyBuild(farm);
  const lingers = await farm.waitFor('the command', () => stage.markedPid(`${id}.1.ci`, 'lingers'));
  farm.closeOutput();
  await farm.hangUp(); // npm ends at once, and the farm after it
  await farm.waitFor('every process gone', () => processesOf(farm.dataDir).length === 0);
  assert.equal(findProcess(lingers), undefined);
  assert.deepEqual(kernelGroupsOf(id), []);
  await farm.restart();
  const build = await buildThat(farm, id, { what: 'runs again', is: ({ attempts }) => attempts === 2 });
  assert.equal(build.attemptList[0]?.end?.kind === 'infra' && build.attemptList[0].end.cause, 'farm-stopped');
});

test('SIGTERM to the coordinator detaches and its command goes on to the end meanwhile, SIGHUP is the same; SIGINT ends it', async () => {
  await using stage = await makeStage();
  await using repo = await makeRepo(stage.script('say begun; linger; wait_at end; say done; mark over x; wait_at over'));
  await using farm = await startFarm({ config: configOf(repo) });
  const { id } = await onlyBuild(farm);
  const run = `${id}.1.ci`;
  const lingers = await farm.waitFor('the command', () => stage.markedPid(run, 'lingers'));
  assert.equal(await farm.stop('SIGTERM'), 0, farm.output());
  assert.ok(findProcess(lingers), 'what runs goes on');
  await farm.restart();
  assert.equal(await farm.stop('SIGHUP'), 0, farm.output());
  assert.ok(findProcess(lingers), 'what runs goes on');
  await stage.open('end');
  await farm.waitFor('its end without a coordinator', () => stage.marked(run, 'over'));

  await farm.restart();
  assert.equal((await getBuild(farm, id)).attempts, 1);
  await farm.waitFor('the log brought in', async () => (await logOf(farm, id)).includes('done'));
  assert.equal(await farm.stop('SIGINT'), 0, farm.output());
  assert.equal(findProcess(lingers), undefined);
  assert.deepEqual(processesOf(farm.dataDir), []);

  await farm.restart();
  await stage.open('over');
  const build = await buildThat(farm, id, { what: 'passes', is: ({ end }) => end?.kind === 'passed' });
  assert.deepEqual(
    build.attemptList.map(({ end }) => end?.kind),
    ['infra', 'passed'],
  );
  assert.equal((await logOf(farm, id, 1)).toString(), 'begun\ndone\n');
});

test('a build that ends while no coordinator runs is collected by the next one', async () => {
  await using stage = await makeStage();
  await using repo = await makeRepo(stage.script('say begun; wait_at end; say done'));
  await using farm = await startFarm({ config: configOf(repo) });
  const { id } = await onlyBuild(farm);
  const pid = await farm.waitFor('the command', () => stage.markedPid(`${id}.1.ci`));
  await farm.stop('SIGTERM');
  await stage.open('end');
  await farm.waitFor('the command gone', () => findProcess(pid) === undefined);
  await farm.restart();
  const build = await endedBuild(farm, id);
  assert.deepEqual(build.end, { kind: 'passed' });
  assert.equal(build.attempts, 1);
  assert.equal((await logOf(farm, id)).toString(), 'begun\ndone\n');
});

for (const [how, signal] of [
  ['hangs', 'SIGSTOP'],
  ['is dead', 'SIGKILL'],
] as const) {
  test(`Ctrl-C while a buildlet ${how} ends its command too, and leaves nothing outside the data directory`, async () => {
    await using stage = await makeStage();
    await using repo = await makeRepo(stage.script('linger; wait_at end'));
    const temporary = await mkdtemp(join(tmpdir(), 'croft-tmp-'));
    try {
      // A socket's path is limited, so for a long data directory it lies elsewhere.
      const dataDir = join(temporary, `data-${'x'.repeat(100)}`);
      await mkdir(join(temporary, 'tmp'));
      await using farm = await startFarm({ repo: repo.dir, dataDir, env: { TMPDIR: join(temporary, 'tmp') } });
      const { id } = await onlyBuild(farm);
      const lingers = await farm.waitFor('the command', () => stage.markedPid(`${id}.1.ci`, 'lingers'));
      killAll(
        processesOf(dataDir).filter(({ command }) => /programs\/buildlet\.mjs/.test(command)),
        signal,
      );
      await farm.ctrlC();
      assert.equal(findProcess(lingers), undefined);
      assert.deepEqual(processesOf(dataDir), []);
      assert.deepEqual(kernelGroupsOf(id), []);
      assert.deepEqual(readdirSync(join(temporary, 'tmp')), []);
    } finally {
      await rm(temporary, { recursive: true });
    }
  });
}

for (const program of ['npm start', 'the coordinator'] as const) {
  test(`${program}: when nobody reads its output any more it goes on, and still ends as a whole`, async () => {
    await using repo = await makeRepo('#!/bin/sh\n');
    await using farm = await startFarm(program === 'npm start' ? { repo: repo.dir } : { config: configOf(repo) });
    const { id, repo: name } = await onlyBuild(farm);
    await endedBuild(farm, id);
    farm.closeOutput();
    await repo.commit({ a: '1\n' });
    const { queued } = await farm.api<{ queued: string[] }>('POST', `/api/v1/repos/${name}/notify`);
    assert.deepEqual((await endedBuild(farm, queued[0] ?? '')).end, { kind: 'passed' });
    await farm.api('POST', `/api/v1/builds/${id}/retry`);
    await buildThat(farm, id, { what: 'passed again', is: ({ state, attempts }) => state === 'ended' && attempts === 2 });
    assert.equal(await farm.stop('SIGINT'), 0);
    assert.deepEqual(processesOf(farm.dataDir), []);
  });
}

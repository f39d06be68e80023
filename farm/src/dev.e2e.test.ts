/** What `npm run dev` gives to those who work on Croft. */
import { test } from 'node:test';
import assert from 'node:assert/strict';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { endedBuild, foundBuilds, listBuilds, onlyBuild } from './testing-builds.ts';
import { findProcess, processesOf } from './testing-processes.ts';
import { makeRepo } from './testing-repo.ts';
import { makeStage } from './testing-stage.ts';
import { startFarm } from './testing.ts';

test('a changed source starts the coordinator again, and what runs goes on; Ctrl-C ends everything', async () => {
  await using stage = await makeStage();
  await using repo = await makeRepo(stage.script('say begun; linger; wait_at end; say done'));
  const sources = await mkdtemp(join(tmpdir(), 'croft-sources-'));
  try {
    await writeFile(join(sources, 'source.ts'), 'before');
    await using farm = await startFarm({ repo: repo.dir, watch: sources, args: ['--dev'] });
    const { id } = await onlyBuild(farm);
    const lingers = await farm.waitFor('the command', () => stage.markedPid(`${id}.1.ci`, 'lingers'));
    await writeFile(join(sources, 'source.ts'), 'after');
    await farm.waitFor('the second start', () => farm.output().split('Croft farms').length === 3);
    assert.ok(findProcess(lingers), 'what runs goes on');
    await stage.open('end');
    const { end, attempts } = await endedBuild(farm, id);
    assert.deepEqual([end?.kind, attempts], ['passed', 1]);

    await stage.close('end');
    await farm.api('POST', `/api/v1/builds/${id}/retry`);
    const again = await farm.waitFor('the next attempt', () => stage.markedPid(`${id}.2.ci`, 'lingers'));
    await farm.ctrlC();
    await farm.waitFor('every process gone', () => processesOf(farm.dataDir).length === 0);
    assert.equal(findProcess(again), undefined);
  } finally {
    await rm(sources, { recursive: true });
  }
});

test('without a repository it farms a sample of its own, which another start finds as it was', async () => {
  await using farm = await startFarm({ args: ['--dev', '--depth', '2'] });
  const revisions = async (): Promise<Set<string>> => new Set((await foundBuilds(farm, 8)).map(({ revision }) => revision));
  const before = await revisions();
  assert.equal(before.size, 2);
  await farm.waitFor('a build that passed', async () => (await listBuilds(farm)).some(({ end }) => end?.kind === 'passed'));
  await farm.ctrlC();
  await farm.restart();
  assert.deepEqual(await revisions(), before);
});

import { test } from 'node:test';
import assert from 'node:assert/strict';
import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { systemClock } from '@croft/runtime/clock';
import { systemRandom } from '@croft/runtime/random';
import { createClient } from '@croft/web/client';
import { buildThat, endedBuild, foundBuilds, getBuild, listBuilds, logOf, onlyBuild } from './testing-builds.ts';
import { findProcess, kernelGroupsOf, killAll, processesOf, type FoundProcess } from './testing-processes.ts';
import { makeRepo } from './testing-repo.ts';
import { makeStage } from './testing-stage.ts';
import { startFarm, type TestFarm } from './testing.ts';

const buildlets = (farm: TestFarm): FoundProcess[] =>
  processesOf(farm.dataDir).filter(({ command }) => command.includes('programs/buildlet.mjs'));
const alive = (pids: readonly number[]): number[] => pids.filter((pid) => findProcess(pid) !== undefined);

test('kill -9 of the coordinator: the command goes on, a restart takes over, and whoever follows the log misses nothing', async () => {
  await using stage = await makeStage();
  await using repo = await makeRepo(
    stage.script(
      'for n in $(seq 1 300); do say "line $n"; sleep 0.01; done; mark half x; wait_at end; for n in $(seq 301 400); do say "line $n"; done',
    ),
  );
  await using farm = await startFarm({ repo: repo.dir, args: ['--lend', '0'] });
  const { id } = await onlyBuild(farm);
  const run = `${id}.1.ci`;
  const pid = await farm.waitFor('the command', () => stage.markedPid(run));
  const followed = followLog(farm, id);
  await farm.waitFor('some output', async () => (await logOf(farm, id)).length > 0);
  assert.equal(await stage.marked(run, 'half'), undefined, 'it is killed while output comes');
  await farm.kill9();
  await farm.waitFor('output beyond the kill', () => stage.marked(run, 'half'));
  assert.deepEqual(alive([pid]), [pid]);
  assert.equal(buildlets(farm).length, 1, 'the buildlet outlives its parent');
  await farm.restart();
  const resumed = await getBuild(farm, id);
  assert.equal(resumed.state, 'running');
  await stage.open('end');
  const build = await endedBuild(farm, id);
  assert.deepEqual(build.end, { kind: 'passed' });
  assert.equal(build.attempts, 1);
  assert.equal(build.attemptList.length, 1);
  const said = await stage.said(run);
  assert.deepEqual(await logOf(farm, id), said);
  assert.deepEqual(await followed, said);
});

/** As `croft log -f` and the page do: over cut lines and restarts. */
async function followLog(farm: TestFarm, build: string): Promise<Buffer> {
  const client = createClient({ server: farm.url, clock: systemClock, random: systemRandom });
  const chunks: Uint8Array[] = [];
  const waits = { signal: systemClock.deadline(60_000) };
  for await (const chunk of client.followLog({ build, attempt: 1, from: 0 }, waits)) chunks.push(chunk);
  return Buffer.concat(chunks);
}

test('kill -9 of a buildlet: its tree is gone and another attempt runs, 3 in all, each with evidence; retrying goes on counting', async () => {
  await using stage = await makeStage();
  await using repo = await makeRepo(stage.script('say "this is $RUN"; linger; wait_at end'));
  await using farm = await startFarm({ repo: repo.dir, args: ['--lend', '0'] });
  const { id } = await onlyBuild(farm);
  for (const attempt of [1, 2, 3]) {
    const run = `${id}.${attempt}.ci`;
    const lingers = await farm.waitFor(`attempt ${attempt}`, () => stage.markedPid(run, 'lingers'));
    const tree = [(await stage.markedPid(run)) ?? 0, lingers];
    assert.deepEqual(alive(tree), tree);
    await farm.waitFor('its line in the log', async () => (await logOf(farm, id, attempt)).length > 0);
    killAll(buildlets(farm));
    const after = await buildThat(farm, id, {
      what: `ended attempt ${attempt}`,
      is: ({ attemptList }) => attemptList[attempt - 1]?.end !== undefined,
    });
    assert.deepEqual(alive(tree), []);
    const end = after.attemptList[attempt - 1]?.end;
    assert.ok(end?.kind === 'infra');
    assert.equal(end.cause, 'buildlet-died');
    assert.match(end.evidence, /\w/);
    assert.equal((await logOf(farm, id, attempt)).toString(), `this is ${run}\n`);
  }
  const { end, attempts, attemptList } = await endedBuild(farm, id);
  assert.equal(attempts, 3);
  assert.equal(end?.kind, 'infra');
  const page = await (await fetch(`${farm.url}/builds/${id}`)).text();
  for (const { number, end: of } of attemptList) {
    assert.ok(of?.kind === 'infra');
    assert.match(page, new RegExp(`Attempt ${number}</`));
    assert.ok(
      page.includes(of.evidence.replaceAll('&', '&amp;').replaceAll('"', '&quot;').replaceAll("'", '&#39;')),
      `evidence of attempt ${number} on the page: ${of.evidence}`,
    );
  }
  await stage.open('end');
  await farm.api('POST', `/api/v1/builds/${id}/retry`);
  const retried = await buildThat(farm, id, { what: 'passes', is: (build) => build.end?.kind === 'passed' });
  assert.deepEqual(
    retried.attemptList.map((attempt) => [attempt.number, attempt.end?.kind]),
    [
      [1, 'infra'],
      [2, 'infra'],
      [3, 'infra'],
      [4, 'passed'],
    ],
  );
});

test('kill -9 of every Croft process: the next start leaves no process, directory or build behind or missing', async () => {
  await using stage = await makeStage();
  await using repo = await makeRepo(stage.script('say "this is $RUN"; linger; wait_at end; say done'));
  for (const n of [2, 3, 4, 5]) await repo.commit({ a: `${n}\n` });
  await using farm = await startFarm({ repo: repo.dir, args: ['--at-once', '2', '--lend', '0'] });
  const found = await foundBuilds(farm, 5);
  const running = await farm.waitFor('two that run', async () => {
    const now = (await listBuilds(farm)).filter(({ state }) => state === 'running').map(({ id }) => id);
    const lingering = await Promise.all(now.map((id) => stage.markedPid(`${id}.1.ci`, 'lingers')));
    return now.length === 2 && lingering.every((pid) => pid !== undefined) ? now : undefined;
  });
  const commands = await Promise.all(running.flatMap((id) => ['pid', 'lingers'].map((name) => stage.markedPid(`${id}.1.ci`, name))));
  const trees = commands.filter((pid) => pid !== undefined);
  killAll(buildlets(farm));
  await farm.kill9();
  assert.deepEqual(alive(trees), trees, 'the commands were left behind');

  await farm.restart();
  await farm.waitFor('the old trees gone', () => alive(trees).length === 0);
  await stage.open('end');
  for (const { id } of found) {
    const build = await endedBuild(farm, id);
    assert.deepEqual(build.end, { kind: 'passed' });
    assert.equal(build.attempts, running.includes(id) ? 2 : 1);
    assert.equal((await logOf(farm, id, build.attempts)).toString(), `this is ${id}.${build.attempts}.ci\ndone\n`);
  }
  assert.equal((await listBuilds(farm)).length, 5);
  assert.deepEqual(readdirSync(join(farm.dataDir, 'machines')).toSorted(), ['local-1', 'local-2', 'sockets']);
  await farm.waitFor('nothing but the farm itself', () =>
    processesOf(farm.dataDir).every(({ command }) => /main\.ts|buildlet\.mjs|^git .*cat-file/.test(command)),
  );
  await farm.waitFor('no run or thrown-away tree left', () =>
    ['local-1', 'local-2'].every((machine) => leftOn(farm, machine).length === 0),
  );
  await farm.waitFor('no kernel group left', () => found.every(({ id }) => kernelGroupsOf(id).length === 0));
});

/** What a machine keeps of runs, and of trees that were moved away. */
function leftOn({ dataDir }: TestFarm, machine: string): string[] {
  return ['state/runs', 'work.trash'].flatMap((place) => readdirSync(join(dataDir, 'machines', machine, place)));
}

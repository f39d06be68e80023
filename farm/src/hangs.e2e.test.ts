import { test } from 'node:test';
import assert from 'node:assert/strict';
import type { Farm } from '@croft/protocol/api';
import { systemClock } from '@croft/runtime/clock';
import { liveness } from '@croft/domain/lease';
import { buildThat, endedBuild, getBuild, logOf, onlyBuild } from './testing-builds.ts';
import { findProcess, killAll, processesOf } from './testing-processes.ts';
import { makeRepo } from './testing-repo.ts';
import { makeStage } from './testing-stage.ts';
import { startFarm, type TestFarm } from './testing.ts';

const machine = async (farm: TestFarm): Promise<Farm['machines'][number] | undefined> =>
  (await farm.api<Farm>('GET', '/api/v1/farm')).machines[0];

/** Between the last answer and the next question, and until that question is given up. */
const noticeMs = liveness.pingMs + 2_000;

test('a machine that hangs for a moment keeps its build; one that hangs for long loses it to another attempt, and never gets it back', async () => {
  await using stage = await makeStage();
  await using repo = await makeRepo(stage.script('say "this is $RUN"; linger; wait_at "$RUN.goes"; say done'));
  await using farm = await startFarm({ repo: repo.dir, args: ['--lend', '0'] });
  const { id } = await onlyBuild(farm);
  const lingers = await farm.waitFor('the command', () => stage.markedPid(`${id}.1.ci`, 'lingers'));
  const buildlet = processesOf(farm.dataDir).find(({ command }) => command.includes('programs/buildlet.mjs'));
  assert.ok(buildlet);

  killAll([buildlet], 'SIGSTOP');
  const away = await farm.waitFor('the machine seen as away', async () =>
    (await machine(farm))?.state === 'away' ? machine(farm) : undefined,
  );
  assert.match(away.evidence ?? '', /does not answer/);
  killAll([buildlet], 'SIGCONT');
  await farm.waitFor('the machine back', async () => (await machine(farm))?.state === 'busy');
  assert.equal((await getBuild(farm, id)).attempts, 1);

  const { startedAt } = await farm.api<Farm>('GET', '/api/v1/farm');
  await farm.waitFor('the grace nearly over', () => systemClock.now() >= startedAt + liveness.graceMs - liveness.lostMs);
  const stoppedAt = systemClock.now();
  killAll([buildlet], 'SIGSTOP');
  const moved = await buildThat(farm, id, { what: 'has moved on', is: ({ attempts }) => attempts === 2 });
  const [first, second] = moved.attemptList;
  assert.ok(first?.end?.kind === 'infra');
  assert.equal(first.end.cause, 'machine-lost');
  assert.match(first.end.evidence, /does not answer/);
  const lostAfterMs = (first.endedAt ?? 0) - stoppedAt;
  assert.ok(lostAfterMs >= liveness.lostMs - noticeMs && lostAfterMs <= liveness.lostMs + noticeMs + 1_000, `lost after ${lostAfterMs} ms`);
  assert.ok((second?.startedAt ?? 0) - stoppedAt <= liveness.reassignedMs, 'given to a machine again within 30 s');

  killAll([buildlet], 'SIGCONT');
  await farm.waitFor('the hung buildlet gone', () => findProcess(buildlet.pid) === undefined);
  await farm.waitFor('its command gone', () => findProcess(lingers) === undefined);
  await stage.open(`${id}.1.ci.goes`);
  await stage.open(`${id}.2.ci.goes`);
  const build = await endedBuild(farm, id);
  assert.deepEqual(build.end, { kind: 'passed' });
  assert.equal(build.attempts, 2);
  assert.equal((await logOf(farm, id, 1)).toString(), `this is ${id}.1.ci\n`);
  assert.equal((await logOf(farm, id, 2)).toString(), `this is ${id}.2.ci\ndone\n`);
});

import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { ConfigInput } from '@croft/config/define-config';
import type { Farm, MachineView } from '@croft/protocol/api';
import { buildThat, endedBuild, getBuild, logOf, onlyBuild } from './testing-builds.ts';
import { findProcess } from './testing-processes.ts';
import { makeRepo, type TestRepo } from './testing-repo.ts';
import { hostType, startReverseFarm, type ReverseFarm } from './testing-reverse.ts';
import { makeStage } from './testing-stage.ts';

// The farm's certificate is its own.
process.env['NODE_TLS_REJECT_UNAUTHORIZED'] = '0';
const env = { PATH: process.env['PATH'], HOME: process.env['HOME'] };

function configOf(repo: TestRepo): Partial<ConfigInput> {
  return { repos: [{ name: 'app', url: repo.dir }], builders: [{ name: 'ci', repo: 'app', hostType }] };
}

function machineOf({ farm }: ReverseFarm, id: string, is: (machine: MachineView) => boolean): Promise<MachineView> {
  return farm.waitFor(`machine ${id}`, async () => {
    const { machines } = await farm.api<Farm>('GET', '/api/v1/farm');
    return machines.find((machine) => machine.id === id && is(machine));
  });
}

test('kill -9 of the coordinator: the machine dials in anew, its command has gone on, and the build ends in one attempt', async () => {
  await using stage = await makeStage();
  const lines =
    'for n in $(seq 1 200); do say "line $n"; sleep 0.01; done; mark half x; wait_at end; for n in $(seq 201 300); do say "line $n"; done';
  await using repo = await makeRepo(stage.script(lines));
  await using rack = await startReverseFarm(configOf(repo), env);
  const { farm } = rack;
  await rack.machine('a');
  const { id } = await onlyBuild(farm);
  const run = `${id}.1.ci`;
  const pid = await farm.waitFor('the command', () => stage.markedPid(run));
  const before = await machineOf(rack, 'rack-a', ({ state }) => state === 'busy');
  for (let round = 0; round < 2; round += 1) {
    await farm.kill9();
    await farm.waitFor('output beyond the kill', () => stage.marked(run, 'half'));
    assert.ok(findProcess(pid), 'the command goes on');
    await farm.restart();
    await machineOf(rack, 'rack-a', ({ state, seenAt }) => state === 'busy' && seenAt > before.seenAt);
    assert.equal((await getBuild(farm, id)).state, 'running');
  }
  await stage.open('end');
  const build = await endedBuild(farm, id);
  assert.deepEqual([build.end, build.attempts, build.attemptList.length], [{ kind: 'passed' }, 1, 1]);
  assert.deepEqual(await logOf(farm, id), await stage.said(run));
});

test('kill -9 of the buildlet: its supervisor starts it again, and the build has another attempt on it', async () => {
  await using stage = await makeStage();
  await using repo = await makeRepo(stage.script('say "this is $RUN"; wait_at end'));
  await using rack = await startReverseFarm(configOf(repo), env);
  const { farm } = rack;
  const machine = await rack.machine('a');
  const { id } = await onlyBuild(farm);
  const pid = await farm.waitFor('the command', () => stage.markedPid(`${id}.1.ci`));
  process.kill(machine.pid(), 'SIGKILL');
  await buildThat(farm, id, { what: 'has a second attempt', is: ({ attempts }) => attempts === 2 });
  assert.equal(findProcess(pid), undefined);
  await stage.open('end');
  const build = await endedBuild(farm, id);
  assert.deepEqual(
    build.attemptList.map(({ end }) => end?.kind),
    ['infra', 'passed'],
  );
});

test('an operator takes a machine out of work and gives it back; declared lost, its build goes elsewhere', async () => {
  await using stage = await makeStage();
  await using repo = await makeRepo(stage.script('say "this is $RUN"; wait_at end'));
  await using rack = await startReverseFarm(configOf(repo), env);
  const { farm } = rack;
  await rack.machine('a');
  const { id } = await onlyBuild(farm);
  await farm.waitFor('the command', () => stage.markedPid(`${id}.1.ci`));
  await rack.machine('b');
  await machineOf(rack, 'rack-b', ({ state }) => state === 'ready');
  await farm.api('POST', '/api/v1/machines/rack-b/drain', { why: 'its disk is changed' });
  await farm.api('POST', '/api/v1/machines/rack-a/lose', { why: 'it smokes' });
  const [lost] = (await buildThat(farm, id, { what: 'lost its machine', is: ({ attemptList }) => attemptList[0]?.end !== undefined }))
    .attemptList;
  assert.ok(lost?.end?.kind === 'infra');
  assert.deepEqual([lost.end.cause, lost.end.evidence], ['machine-lost', 'declared lost by local: it smokes']);
  await buildThat(farm, id, { what: 'runs again where it was lost, which has begun anew', is: ({ attempts }) => attempts === 2 });
  const { machines } = await farm.api<Farm>('GET', '/api/v1/farm');
  const drained = machines.find((machine) => machine.id === 'rack-b');
  assert.match(`${drained?.next} ${drained?.evidence ?? ''}`, /taken out of work by local: its disk is changed/);
  await farm.api('DELETE', '/api/v1/machines/rack-b/drain');
  await stage.open('end');
  await endedBuild(farm, id);
});

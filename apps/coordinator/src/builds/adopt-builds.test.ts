import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { rm } from 'node:fs/promises';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { createBuildlet } from '@croft/buildlet/client';
import type { BuildId } from '@croft/domain/names';
import { systemClock } from '@croft/runtime/clock';
import { silentLog } from '@croft/runtime/log';
import { systemRandom } from '@croft/runtime/random';
import { attemptsOf, type Attempt } from '@croft/store/attempts';
import { getBuild } from '@croft/store/builds';
import { getMachine } from '@croft/store/machines';
import { createAttemptLogs } from '../logs/attempt-logs.ts';
import { createAdoption, type Adoption } from './adopt-builds.ts';
import { createDrivers, type Drivers } from './drive-builds.ts';
import type { Records } from './records.ts';
import { incarnate, machine, openBench, queueBuild, step, type Bench } from './testing.ts';

const observed = { id: machine, hostType: 'test', labels: [], state: 'up' } as const;

interface Process extends AsyncDisposable {
  readonly records: Records;
  readonly drivers: Drivers;
  readonly adoption: Adoption;
}

/** A coordinator's records, drivers and adoption over the bench. */
function openProcess(bench: Bench, { here = true, surveyed = true, configured = true } = {}): Process {
  const { records, farm } = incarnate(
    configured ? bench : { ...bench, builder: { ...bench.builder, name: 'other' as typeof bench.builder.name } },
  );
  const { db, clock } = bench;
  const drivers = createDrivers({ farm, clock, random: systemRandom, log: silentLog, onEnd() {}, onTrouble() {} });
  const machines = {
    list: () => (here ? [{ observed, pool: 'test', seenAt: clock.now() }] : []),
    surveyed: () => surveyed,
  };
  const onForsaken: Adoption['giveUpMachine'] = (id, evidence) => adoption.giveUpMachine(id, evidence);
  const adoption: Adoption = createAdoption({ db, records, logs: farm.logs, drivers, machines, clock, log: silentLog, onForsaken });
  return { records, drivers, adoption, [Symbol.asyncDispose]: () => drivers[Symbol.asyncDispose]() };
}

const lasting = step('lasting', 'echo begun; until [ -e "$WORKDIR/../go" ]; do sleep 0.05; done; echo done');

async function begin(bench: Bench, { records, drivers }: Process): Promise<BuildId> {
  const build = await queueBuild(bench, 'one');
  const work = await records.assign(build, machine);
  assert.ok(work);
  drivers.start(work);
  await until('the output', async () => ((await attempts(bench, build))[0]?.log.bytes ?? 0) > 0);
  return build;
}

const attempts = ({ db }: Bench, build: BuildId): Promise<Attempt[]> => db.read((sql) => attemptsOf(sql, build));

async function until(what: string, is: () => Promise<boolean>): Promise<void> {
  const deadline = systemClock.deadline(20_000);
  while (!(await is())) {
    assert.ok(!deadline.aborted, `${what} did not come`);
    await systemClock.sleep(10);
  }
}

async function assertLogIsWhole({ dir, clock }: Bench, { build, number, log }: Attempt, text: string): Promise<void> {
  assert.deepEqual([log.state, log.bytes, log.sha1], ['complete', text.length, createHash('sha1').update(text).digest('hex')]);
  const reader = await createAttemptLogs(join(dir, 'logs'), { clock, onStored() {} }).reader(build, number, async () => []);
  assert.equal(Buffer.concat(await Array.fromAsync(reader.read({ from: 0 }))).toString(), text);
}

test('an attempt that is given up has the log that was shown, one end, and a build that queues again', async () => {
  await using bench = await openBench([lasting]);
  await using life = openProcess(bench);
  const build = await begin(bench, life);
  await life.adoption.giveUpMachine(machine, 'silent');
  await life.adoption.giveUpMachine(machine, 'silent still');
  const [attempt, ...others] = await attempts(bench, build);
  assert.ok(attempt?.state.kind === 'ended');
  assert.deepEqual(attempt.state.end, { kind: 'infra', cause: 'machine-lost', evidence: 'silent' });
  await assertLogIsWhole(bench, attempt, 'begun\n');
  assert.deepEqual([others, life.drivers.list()], [[], []]);
  assert.equal((await bench.db.read((sql) => getBuild(sql, build)))?.state.kind, 'queued');
});

test('whoever adopts, sweeps and gives up at the same time, an attempt has one end and its log one writer', async () => {
  for (let round = 0; round < 2; round += 1) {
    await using bench = await openBench([lasting]);
    await using life = openProcess(bench);
    const build = await begin(bench, life);
    const { adoption } = life;
    const all = [adoption.adopt(), adoption.giveUpMachine(machine, 'silent'), adoption.sweep(), adoption.giveUpAll(), adoption.adopt()];
    await Promise.all(round % 2 === 0 ? all : all.toReversed());
    const [attempt, ...others] = await attempts(bench, build);
    assert.ok(attempt?.state.kind === 'ended' && attempt.state.end.kind === 'infra');
    await assertLogIsWhole(bench, attempt, 'begun\n');
    assert.deepEqual(others, []);
    assert.deepEqual(life.drivers.list(), []);
  }
});

test('a running attempt without a driver gets one, and one whose driver has an older epoch gets another', async () => {
  await using bench = await openBench([lasting]);
  await using life = openProcess(bench);
  const build = await begin(bench, life);
  await life.drivers.drop({ build, attempt: 1 }, 'for the test');
  assert.deepEqual(life.drivers.list(), []);
  await life.adoption.adopt();
  const [driven] = life.drivers.list();
  assert.ok(driven);
  const newer = await life.records.takeOver(build);
  assert.ok(newer);
  life.drivers.start(newer);
  life.drivers.start(driven);
  assert.deepEqual(life.drivers.list(), [newer]);
  await life.records.cancel(build, 'tester', 'enough');
  life.drivers.cancel(build);
  await until('the end', async () => (await attempts(bench, build))[0]?.state.kind === 'ended');
  const [attempt] = await attempts(bench, build);
  assert.deepEqual(attempt?.state.kind === 'ended' && attempt.state.end, { kind: 'cancelled', by: 'tester', why: 'enough' });
});

test('a build whose builder is not configured any more goes on to its end', async () => {
  await using bench = await openBench([lasting]);
  await using life = openProcess(bench);
  const build = await begin(bench, life);
  await life.drivers.drop({ build, attempt: 1 }, 'its process ends');
  await using next = openProcess(bench, { configured: false });
  await next.adoption.adopt();
  await writeFile(join(bench.buildlet.workDir, '..', 'go'), '');
  await until('the end', async () => (await bench.db.read((sql) => getBuild(sql, build)))?.state.kind === 'ended');
  const ends = (await attempts(bench, build)).map(({ state }) => state.kind === 'ended' && state.end);
  assert.deepEqual(ends, [{ kind: 'passed' }]);
  await using buildlet = createBuildlet(bench.buildlet.address, { clock: systemClock });
  await until('the run forgotten', async () => (await buildlet.runs({})).length === 0);
});

test('a machine that no pool has any more is given up and then gone, but not before every pool was heard', async () => {
  await using bench = await openBench([lasting]);
  await using life = openProcess(bench);
  const build = await begin(bench, life);
  const state = async (): Promise<string | undefined> => (await bench.db.read((sql) => getMachine(sql, machine)))?.state;
  await life.drivers.drop({ build, attempt: 1 }, 'its process ends');
  await using deaf = openProcess(bench, { here: false, surveyed: false });
  await deaf.adoption.sweep();
  assert.equal((await attempts(bench, build))[0]?.state.kind, 'running');

  await deaf.drivers.drop({ build, attempt: 1 }, 'its process ends');
  await using next = openProcess(bench, { here: false });
  await next.adoption.sweep();
  const [attempt] = await attempts(bench, build);
  assert.equal(attempt?.state.kind === 'ended' && attempt.state.end.kind === 'infra' && attempt.state.end.cause, 'machine-lost');
  assert.equal(await state(), 'up');
  await next.adoption.sweep();
  assert.equal(await state(), 'gone');
});

test('an attempt whose stored log is gone from the disk ends so instead of never', async () => {
  await using bench = await openBench([lasting]);
  await using life = openProcess(bench);
  const build = await begin(bench, life);
  await life.drivers.drop({ build, attempt: 1 }, 'for the test');
  await rm(join(bench.dir, 'logs'), { recursive: true });
  await life.adoption.adopt();
  await until('the end', async () => (await attempts(bench, build))[0]?.state.kind === 'ended');
  const [attempt] = await attempts(bench, build);
  assert.equal(attempt?.state.kind === 'ended' && attempt.state.end.kind === 'infra' && attempt.state.end.cause, 'log-failed');
  assert.equal(attempt?.log.state, 'expired');
});

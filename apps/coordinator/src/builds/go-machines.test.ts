/** Builds on Go's buildlets, which know no runs: the driver is the same, what is lost with the coordinator is tried again. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { join } from 'node:path';
import { test } from 'node:test';
import type { Builder } from '@croft/domain/job';
import type { BuildId } from '@croft/domain/names';
import { createFakeMachine, type FakeCommand } from '@croft/buildlet/fake';
import { createGoBuildlet, type GoBuildlet } from '@croft/buildlet/go-buildlet';
import { CroftError } from '@croft/runtime/errors';
import { systemClock } from '@croft/runtime/clock';
import { systemRandom } from '@croft/runtime/random';
import { attemptsOf } from '@croft/store/attempts';
import { getBuild } from '@croft/store/builds';
import { createAttemptLogs } from '../logs/attempt-logs.ts';
import { runBuild } from './run-build.ts';
import { incarnate, machine, openBench, queueBuild, step, type Bench } from './testing.ts';

interface Stage extends AsyncDisposable {
  readonly bench: Bench;
  /** What a coordinator that has just started makes of the machine. */
  connect(): GoBuildlet;
}

async function openStage(scripts: readonly string[], sh: FakeCommand, services: Builder['services'] = []): Promise<Stage> {
  await using stack = new AsyncDisposableStack();
  const bench = stack.use(
    await openBench(
      scripts.map((script, at) => step(`step-${at + 1}`, script)),
      { services },
    ),
  );
  const fake = stack.use(createFakeMachine({ clock: systemClock, commands: { sh } }));
  const spoolDir = join(bench.dir, 'spool');
  const owned = stack.move();
  const connect = (): GoBuildlet => owned.use(createGoBuildlet(fake.address, { clock: systemClock, random: systemRandom, spoolDir }));
  return { bench, connect, [Symbol.asyncDispose]: () => owned.disposeAsync() };
}

async function logOf({ dir, clock }: Bench, build: BuildId, attempt: number): Promise<string> {
  const reader = await createAttemptLogs(join(dir, 'logs'), { clock, onStored() {} }).reader(build, attempt, async () => []);
  return Buffer.concat(await Array.fromAsync(reader.read({ from: 0 }))).toString();
}

const never = new AbortController().signal;

test('a build passes: source, steps, log', async () => {
  await using stage = await openStage(['cat hello', 'echo two'], async ({ args, dir, tree, write }) => {
    await write(args[1] === 'cat hello' ? tree.read(`${dir}/hello`) : 'two\n');
    return 0;
  });
  const { bench } = stage;
  const build = await queueBuild(bench, 'passes');
  const life = incarnate(bench);
  const work = await life.records.assign(build, machine);
  assert.ok(work);
  const buildlet = stage.connect();
  assert.deepEqual(await runBuild(work, { ...life.farm, connect: () => buildlet }, { signal: never, cancelled: never }), {
    kind: 'passed',
  });
  assert.equal(await logOf(bench, build, 1), 'from the tree\ntwo\n');
  assert.deepEqual(await buildlet.runs({}), [], 'nothing is left on the machine');
});

test('a coordinator that was started again ends the attempt as infra, and the next one passes', async () => {
  let second: 'hangs' | 'passes' = 'hangs';
  const begun = Promise.withResolvers<void>();
  await using stage = await openStage(['first', 'second'], async ({ args, signal, write }) => {
    await write(`${args[1]}\n`);
    if (args[1] === 'first' || second === 'passes') return 0;
    begun.resolve();
    await once(signal, 'abort');
    return 'signal: killed';
  });
  const { bench } = stage;
  const build = await queueBuild(bench, 'restarted');
  const life = incarnate(bench);
  const work = await life.records.assign(build, machine);
  assert.ok(work);
  const old = stage.connect();
  const stopping = new AbortController();
  const driving = runBuild(work, { ...life.farm, connect: () => old }, { signal: stopping.signal, cancelled: never });
  await begun.promise;
  stopping.abort(new CroftError('stopped', 'the coordinator ends'));
  await assert.rejects(driving, /the coordinator ends/);
  await old[Symbol.asyncDispose]();

  second = 'passes';
  const next = incarnate(bench);
  const buildlet = stage.connect();
  const farm = { ...next.farm, connect: () => buildlet };
  const adopted = await next.records.takeOver(build);
  assert.ok(adopted);
  const end = await runBuild(adopted, farm, { signal: never, cancelled: never });
  assert.ok(end.kind === 'infra' && end.cause === 'machine-lost');
  assert.match(end.evidence, /keeps nothing over a restart of the coordinator/);
  assert.equal((await bench.db.read((sql) => getBuild(sql, build)))?.state.kind, 'queued');

  const again = await next.records.assign(build, machine);
  assert.ok(again && again.attempt === 2);
  assert.deepEqual(await runBuild(again, farm, { signal: never, cancelled: never }), { kind: 'passed' });
  assert.equal(await logOf(bench, build, 2), 'first\nsecond\n');
  const attempts = await bench.db.read((sql) => attemptsOf(sql, build));
  assert.deepEqual(
    attempts.map(({ state }) => state.kind === 'ended' && state.end.kind),
    ['infra', 'passed'],
  );
});

test('a build that needs services ends as infra, and says that this machine gives none', async () => {
  const service = { name: 'db', argv: ['db'], env: {}, secrets: {}, ready: { withinMs: 1_000 } };
  await using stage = await openStage(['true'], () => 0, [service]);
  const build = await queueBuild(stage.bench, 'services');
  const life = incarnate(stage.bench);
  const work = await life.records.assign(build, machine);
  assert.ok(work);
  const buildlet = stage.connect();
  const end = await runBuild(work, { ...life.farm, connect: () => buildlet }, { signal: never, cancelled: never });
  assert.deepEqual(end, { kind: 'infra', cause: 'machine-unfit', evidence: 'one of Go’s buildlets gives no ports to services' });
});

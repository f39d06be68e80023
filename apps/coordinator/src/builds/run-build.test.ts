import assert from 'node:assert/strict';
import { readFile, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import type { BuildId } from '@croft/domain/names';
import { CroftError, isCode } from '@croft/runtime/errors';
import { seededRandom } from '@croft/runtime/testing';
import { attemptsOf } from '@croft/store/attempts';
import { getBuild } from '@croft/store/builds';
import { heldLeases } from '@croft/store/leases';
import { stepsOf } from '@croft/store/steps';
import { createBuildlet } from '@croft/buildlet/client';
import { systemClock } from '@croft/runtime/clock';
import { createAttemptLogs } from '../logs/attempt-logs.ts';
import { runBuild } from './run-build.ts';
import type { FarmDeps } from './work.ts';
import { incarnate, machine, openBench, queueBuild, step, type Bench } from './testing.ts';

/** Each step notes outside of its tree that it ran, so that running twice would show. */
const steps = [
  step('first', 'echo first >>"$WORKDIR/../ran"; cat hello; echo one; echo two >&2; echo three'),
  step('second', 'echo second >>"$WORKDIR/../ran"; printf "no newline at the end"'),
];
const written = 'from the tree\none\ntwo\nthree\nno newline at the end';

async function readLog({ dir, clock }: Bench, build: BuildId, attempt: number): Promise<string> {
  const reader = await createAttemptLogs(join(dir, 'logs'), { clock, onStored() {} }).reader(build, attempt, async () => []);
  return Buffer.concat(await Array.fromAsync(reader.read({ from: 0 }))).toString();
}

async function assertPassedOnce(bench: Bench, build: BuildId, ran: string[]): Promise<void> {
  const { db } = bench;
  const [stored, attempts, held] = await db.read(
    async (sql) => [await getBuild(sql, build), await attemptsOf(sql, build), await heldLeases(sql)] as const,
  );
  assert.deepEqual(stored?.state.kind === 'ended' && stored.state.end, { kind: 'passed' });
  assert.equal(attempts.length, 1);
  assert.equal(attempts[0]?.state.kind, 'ended');
  assert.equal(attempts[0].log.state, 'complete');
  assert.equal(attempts[0].log.bytes, written.length);
  assert.equal(attempts[0].log.lines, 4);
  assert.equal(await readLog(bench, build, 1), written);
  assert.equal(held.length, 0);
  const states = await db.read((sql) => stepsOf(sql, { build, number: 1 }));
  assert.deepEqual(
    states.map(({ name, state }) => [name, state.kind]),
    [
      ['source', 'ended'],
      ['first', 'ended'],
      ['second', 'ended'],
    ],
  );
  assert.deepEqual(ran, ['first', 'second']);
}

/** Lets incarnation after incarnation die until one comes to the end. Returns how many there were. */
async function runThroughDeaths(bench: Bench, build: BuildId, deaths: readonly { dieAt: number; after: boolean }[]): Promise<number> {
  const first = incarnate(bench);
  assert.ok(await first.records.assign(build, machine));
  for (const [count, death] of [...deaths, {}].entries()) {
    const life = incarnate(bench, death);
    const work = await life.records.takeOver(build);
    if (!work) return count; // it had ended, and died collecting
    const ended = await Promise.race([life.run(work), life.died.then(() => 'died' as const)]);
    if (ended !== 'died') return count;
  }
  throw new Error('it never came to its end');
}

async function countRan(bench: Bench): Promise<string[]> {
  return (await readFile(join(bench.buildlet.workDir, '..', 'ran'), 'utf8')).trim().split('\n');
}

test('killed before or after any use of any port, the same function called again comes to the same end', async () => {
  await using bench = await openBench(steps);
  let seen = 0;
  for (const after of [false, true]) {
    for (let dieAt = 1; ; dieAt += 1) {
      const build = await queueBuild(bench, `${dieAt} ${after}`);
      const lives = await runThroughDeaths(bench, build, [{ dieAt, after }]);
      const ran = await countRan(bench);
      await assertPassedOnce(bench, build, ran.slice(seen));
      seen = ran.length;
      if (lives === 0) {
        assert.ok(dieAt > 20, `only ${dieAt} moments to die at: the ports are not watched`);
        break;
      }
    }
  }
});

test('killed again and again while it recovers, it still runs every command once and loses no byte', async (t) => {
  const seed = Number(process.env['CROFT_SEED'] ?? 20_261_121);
  t.diagnostic(`seed ${seed}`);
  const random = seededRandom(seed);
  await using bench = await openBench(steps);
  let seen = 0;
  for (let round = 0; round < 15; round += 1) {
    const build = await queueBuild(bench, `again ${round}`);
    const deaths = Array.from({ length: 6 }, () => ({ dieAt: 1 + Math.floor(random.fraction() * 30), after: random.fraction() < 0.5 }));
    await runThroughDeaths(bench, build, deaths);
    const ran = await countRan(bench);
    await assertPassedOnce(bench, build, ran.slice(seen));
    seen = ran.length;
  }
});

test('a machine that lost the tree, its records or both between two moments starts no command without it', async () => {
  for (const lost of [['work'], ['state'], ['state', 'work']]) {
    for (const after of [false, true]) {
      await using bench = await openBench([step('only', 'cat hello && touch ../ran && sleep 600')]);
      const { buildlet } = bench;
      const build = await queueBuild(bench, 'wiped');
      const first = incarnate(bench, { dieOn: 'startOrAttach', after });
      const work = await first.records.assign(build, machine);
      assert.ok(work);
      first.run(work).catch(() => undefined);
      await first.died;
      await buildlet.kill9();
      for (const name of lost) await rm(join(buildlet.dir, name), { recursive: true });
      await buildlet.restart();
      const second = incarnate(bench);
      const adopted = await second.records.takeOver(build);
      assert.ok(adopted);
      const end = await second.run(adopted);
      const runKept = after && !lost.includes('state');
      assert.deepEqual(end.kind === 'infra' && end.cause, runKept ? 'buildlet-died' : 'machine-lost', JSON.stringify([lost, after, end]));
      assert.match(
        end.kind === 'infra' ? end.evidence : '',
        runKept ? /its buildlet died/ : new RegExp(`the source ${build}.1 does not lie`),
      );
    }
  }
});

test('an old holder that wakes up is refused by the store and by the buildlet, and changes nothing', async () => {
  await using bench = await openBench([step('only', 'echo hi; sleep 600')]);
  const build = await queueBuild(bench, 'stale');
  const old = incarnate(bench);
  const work = await old.records.assign(build, machine);
  assert.ok(work);
  const running = old.run(work);
  running.catch(() => undefined);
  const buildlet = createBuildlet(bench.buildlet.address, { clock: systemClock });
  for (let tries = 0; (await buildlet.runs({})).length === 0 && tries < 1_000; tries += 1) await systemClock.sleep(10);

  const next = incarnate(bench);
  const newer = await next.records.takeOver(build);
  assert.ok(newer && newer.lease.epoch > work.lease.epoch);
  await assert.rejects(old.records.saveLogLength(work, { bytes: 1, lines: 0 }), (error) => isCode(error, 'stale'));
  const passed = { kind: 'passed' } as const;
  await assert.rejects(old.records.finish(work, passed, { bytes: 0, lines: 0, sha1: '', segments: [] }), (error) => isCode(error, 'stale'));

  const { epoch } = newer.lease;
  await buildlet.ack(`${build}.1.only` as Parameters<typeof buildlet.ack>[0], 0, epoch, {});
  await assert.rejects(buildlet.cancel(`${build}.1.only` as Parameters<typeof buildlet.ack>[0], 'old', work.lease.epoch, {}), (error) =>
    isCode(error, 'stale'),
  );
  await assert.rejects(buildlet.removeAll(['.'], work.lease.epoch, {}), (error) => isCode(error, 'stale'));
  const [run] = await buildlet.runs({});
  assert.equal(run?.state, 'running');

  await next.records.cancel(build, 'tester', 'enough');
  const end = await next.run(newer, AbortSignal.abort());
  assert.deepEqual(end, { kind: 'cancelled', by: 'tester', why: 'enough' });
  await assert.rejects(running, (error) => isCode(error, 'stale'));
  assert.equal(await readLog(bench, build, 1), 'hi\n');
  await buildlet[Symbol.asyncDispose]();
});

test('a step that fails, one over its limit and one that cannot start each end the attempt as what they are', async () => {
  const cases = [
    { script: 'echo no; exit 3', limitMs: 60_000, end: { kind: 'failed', step: 'it', text: 'exit status 3' } },
    { script: 'kill -SEGV $$', limitMs: 60_000, end: { kind: 'failed', step: 'it', text: 'signal: SIGSEGV' } },
    { script: 'sleep 600', limitMs: 200, end: { kind: 'timed-out', step: 'it' } },
  ] as const;
  for (const { script, limitMs, end } of cases) {
    await using bench = await openBench([step('it', script, limitMs), step('never', 'echo never')]);
    const build = await queueBuild(bench, script);
    const life = incarnate(bench);
    const work = await life.records.assign(build, machine);
    assert.ok(work);
    const found = await life.run(work);
    assert.partialDeepStrictEqual(found, end);
    assert.doesNotMatch(await readLog(bench, build, 1), /never/);
  }
});

test('a cancel breaks off the push of the source', async () => {
  await using bench = await openBench([step('never', 'echo never')]);
  const build = await queueBuild(bench, 'cancelled push');
  const life = incarnate(bench);
  const work = await life.records.assign(build, machine);
  assert.ok(work);
  const cancelled = new AbortController();
  const pushing = Promise.withResolvers<void>();
  const source: FarmDeps['source'] = {
    ...life.farm.source,
    async *tar(_, { signal }) {
      yield Buffer.from([0x1f]);
      pushing.resolve();
      await systemClock.sleep(600_000, { signal });
    },
  };
  const ending = runBuild(work, { ...life.farm, source }, { signal: new AbortController().signal, cancelled: cancelled.signal });
  await pushing.promise;
  await life.records.cancel(build, 'tester', 'enough');
  cancelled.abort(new CroftError('cancelled', 'the build was cancelled'));
  assert.deepEqual(await ending, { kind: 'cancelled', by: 'tester', why: 'enough' });
});

test('a source that cannot be reached is not taken for a machine that cannot be reached', async () => {
  await using bench = await openBench([step('never', 'echo never')]);
  const build = await queueBuild(bench, 'no submodule');
  const life = incarnate(bench);
  const work = await life.records.assign(build, machine);
  assert.ok(work);
  const source: FarmDeps['source'] = {
    ...life.farm.source,
    async *tar() {
      yield Buffer.from([0x1f]);
      throw new CroftError('unavailable', 'git.example.org cannot be reached');
    },
  };
  const signal = new AbortController().signal;
  const end = await runBuild(work, { ...life.farm, source }, { signal, cancelled: signal });
  assert.ok(end.kind === 'infra');
  assert.equal(end.cause, 'source-failed');
  assert.match(end.evidence, /git\.example\.org cannot be reached/);
});

test('a database that is gone for a moment while output comes costs neither bytes nor the driver', async () => {
  const lines = 400;
  await using bench = await openBench([step('chatty', `for i in $(seq ${lines}); do echo line $i; sleep 0.003; done`)]);
  const build = await queueBuild(bench, 'database gone');
  const life = incarnate(bench);
  const work = await life.records.assign(build, machine);
  assert.ok(work);
  let refused = 0;
  const records: FarmDeps['records'] = {
    ...life.records,
    async saveLogLength(of, length) {
      if (length.bytes > 0 && refused < 3) throw new CroftError('unavailable', `the database is gone ${(refused += 1)}`);
      await life.records.saveLogLength(of, length);
    },
  };
  const signal = new AbortController().signal;
  assert.deepEqual(await runBuild(work, { ...life.farm, records }, { signal, cancelled: signal }), { kind: 'passed' });
  assert.equal(refused, 3);
  assert.equal(await readLog(bench, build, 1), Array.from({ length: lines }, (_, i) => `line ${i + 1}\n`).join(''));
});

test('a secret reaches a step by its name, and no log, however often the coordinator dies while it comes', async () => {
  const token = 'tok_5up3r/secret+value';
  const tell =
    'for part in 1 2 3; do echo "part $part: $TOKEN"; printf "%s" "${TOKEN%value}"; sleep 0.02; echo value; done; printf "u:$TOKEN" | base64';
  await using bench = await openBench([{ ...step('tell', tell), secrets: { TOKEN: 'npm' } }], { secrets: { npm: token } });
  const build = await queueBuild(bench, 'secret');
  await runThroughDeaths(
    bench,
    build,
    [8, 10, 12, 14, 16, 18].map((dieAt) => ({ dieAt, after: dieAt % 4 === 0 })),
  );
  const log = await readLog(bench, build, 1);
  const stars = '*'.repeat(token.length);
  const encoded = Buffer.from(`u:${token}`).toString('base64');
  assert.ok(log.startsWith([1, 2, 3].map((part) => `part ${part}: ${stars}\n${stars}\n`).join('')), log);
  assert.match(log.trimEnd().split('\n').at(-1) ?? '', /^.{1,3}\*{20,}$/);
  assert.equal(log.trimEnd().split('\n').at(-1)?.length, encoded.length);
  const [attempt] = await bench.db.read((sql) => attemptsOf(sql, build));
  assert.deepEqual(attempt?.state.kind === 'ended' && attempt.state.end, { kind: 'passed' });
  assert.doesNotMatch(JSON.stringify(attempt), /tok_5up3r/);
});

test('a step whose secret is not configured any more ends with its name, and does not run', async () => {
  await using bench = await openBench([{ ...step('tell', 'echo ran'), secrets: { TOKEN: 'npm' } }]);
  const build = await queueBuild(bench, 'no secret');
  const { records, run } = incarnate(bench);
  const work = await records.assign(build, machine);
  assert.ok(work);
  const end = await run(work);
  assert.ok(end.kind === 'infra' && /secret "npm"/.test(end.evidence), JSON.stringify(end));
});

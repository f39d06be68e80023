/** Machines that lie, flood, stall or refuse: each costs its own attempt and nothing else, and every attempt comes to an end. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createBuildlet, type Buildlet } from '@croft/buildlet/client';
import type { Run } from '@croft/protocol/runs';
import type { AttemptEnd } from '@croft/domain/outcome';
import { HOUR, MINUTE, SECOND, systemClock, type Waits } from '@croft/runtime/clock';
import { CroftError } from '@croft/runtime/errors';
import { FakeClock } from '@croft/runtime/testing';
import { pourAll } from '@croft/streams/pour';
import { packTarGz, type TarEntry } from '@croft/streams/tar-pack';
import { attemptsOf } from '@croft/store/attempts';
import { runBuild } from './run-build.ts';
import { incarnate, machine, openBench, queueBuild, step, type Bench } from './testing.ts';
import type { FarmDeps } from './work.ts';

interface Trial {
  readonly bench: Bench;
  readonly clock: FakeClock;
  readonly end: Promise<AttemptEnd>;
  /** Resolves when the command runs. */
  running(): Promise<void>;
  cancel(): Promise<void>;
  logBytes(): Promise<number>;
}

/** Drives one build on the bench's buildlet, some of whose answers are replaced. */
async function drive(
  bench: Bench,
  clock: FakeClock,
  lies: (real: Buildlet) => Partial<Buildlet>,
  farm: Partial<FarmDeps> = {},
): Promise<Trial> {
  const build = await queueBuild(bench, 'hostile');
  const { records, farm: honest } = incarnate(bench);
  const work = await records.assign(build, machine);
  assert.ok(work);
  const real = createBuildlet(bench.buildlet.address, { clock: systemClock });
  bench.left.use(real);
  const cancelled = new AbortController();
  const deps = { ...honest, connect: () => ({ ...real, ...lies(real) }), outputLimitBytes: 1_000_000, ...farm };
  return {
    bench,
    clock,
    end: runBuild(work, deps, { signal: systemClock.deadline(60 * SECOND), cancelled: cancelled.signal }),
    async running() {
      while ((await real.runs({})).length === 0) await systemClock.sleep(10);
    },
    async cancel() {
      await records.cancel(build, 'tester', 'enough');
      cancelled.abort();
    },
    async logBytes() {
      const [attempt] = await bench.db.read((sql) => attemptsOf(sql, build));
      return attempt?.log.bytes ?? -1;
    },
  };
}

/** Lets the clock run until the attempt has come to its end. */
async function endWithin({ end, clock }: Trial, ms: number): Promise<AttemptEnd> {
  let ended: AttemptEnd | undefined;
  const watched = end.then((found) => (ended = found));
  for (let left = ms; left > 0 && !ended; left -= MINUTE / 2) {
    await Promise.race([watched, systemClock.sleep(10)]);
    await clock.advance(MINUTE / 2);
  }
  return Promise.race([watched, systemClock.sleep(5 * SECOND).then(() => assert.fail('it has not ended'))]);
}

async function trial(
  lies: (real: Buildlet) => Partial<Buildlet>,
  check: (trial: Trial) => Promise<void>,
  { script = 'echo hi', farm = {} }: { script?: string; farm?: Partial<FarmDeps> } = {},
): Promise<void> {
  const clock = new FakeClock();
  await using bench = await openBench([step('it', script)], { clock });
  await check(await drive(bench, clock, lies, { clock, ...farm }));
}

const withEnd =
  (change: (ended: Run & { state: 'ended' }) => Run) =>
  (real: Buildlet): Partial<Buildlet> => ({
    async run(id, waits) {
      const run = await real.run(id, waits);
      return typeof run === 'object' && run.state === 'ended' ? change(run) : run;
    },
  });

async function* flood(): AsyncGenerator<Buffer> {
  for (;;) yield Buffer.alloc(65_536, 'flood\n');
}

async function* silence(): AsyncGenerator<Buffer> {
  yield await new Promise<Buffer>(() => undefined);
}

/** Ends when the reader goes, as a connection does. */
async function* stalled({ signal }: Waits): AsyncGenerator<Buffer> {
  const gone = new Promise<never>((_, reject) => signal?.addEventListener('abort', () => reject(signal.reason as Error), { once: true }));
  yield await Promise.race([
    silence()
      .next()
      .then(() => Buffer.alloc(0)),
    gone,
  ]);
}

const writing = (output: (waits: Waits) => AsyncGenerator<Buffer>): Pick<Buildlet, 'pourOutput'> => ({
  pourOutput: (_id, _from, take, waits) => pourAll(output(waits), take),
});

async function* forgotten(): AsyncGenerator<Buffer> {
  yield Buffer.from('h');
  throw new CroftError('not-found', 'run x was never heard of');
}

test('output without end is cut at the limit that the machine was given', () =>
  trial(
    () => ({ ...writing(flood), ack: async () => undefined }),
    async (tried) => {
      assert.partialDeepStrictEqual(await tried.end, { kind: 'failed', step: 'it', text: 'it wrote more than 1000000 bytes' });
      assert.equal(await tried.logBytes(), 1_000_000);
    },
  ));

test('a machine that contradicts itself about a run loses the attempt', async () => {
  const lies: Record<string, (real: Buildlet) => Partial<Buildlet>> = {
    'says more': withEnd((run) => ({ ...run, output: { length: 2 ** 52, from: 0 } })),
    'says less': withEnd((run) => ({ ...run, output: { length: 1, from: 0 } })),
    'still runs': withEnd(({ id, startedAt, output }) => ({ id, state: 'running', startedAt, output })),
    'forgot its output': () => writing(forgotten),
    'knows nothing': (real) => ({ run: async (id, waits) => (waits.waitMs ? 'unknown' : real.run(id, waits)) }),
  };
  for (const [what, lie] of Object.entries(lies)) {
    await trial(lie, async ({ end }) => {
      assert.partialDeepStrictEqual(await end, { kind: 'infra', cause: 'buildlet-died' }, what);
    });
  }
});

test('a machine that refuses to be told what is stored changes nothing about the end', () =>
  trial(
    () => ({ ack: () => Promise.reject(new CroftError('invalid', 'it has written 0 bytes')) }),
    async ({ end }) => assert.deepEqual(await end, { kind: 'passed' }),
  ));

test('what a machine says about an end is kept short', () =>
  trial(
    withEnd((run) => ({ ...run, exit: { kind: 'lost', reason: 'x'.repeat(200_000) } })),
    async ({ end }) => {
      const found = await end;
      assert.ok(found.kind === 'infra' && found.evidence.length < 5_000);
    },
  ));

test('a run that its machine never ends is given up an hour after its limit', () =>
  trial(
    () => writing(stalled),
    async (tried) => {
      assert.partialDeepStrictEqual(await endWithin(tried, 2 * HOUR), { kind: 'infra', cause: 'buildlet-died' });
    },
    { script: 'sleep 600' },
  ));

test('a cancel that the machine does not carry out ends the build all the same', async () => {
  const deaf: Record<string, Buildlet['cancel']> = {
    refuses: () => Promise.reject(new CroftError('invalid', 'no')),
    'is never there': () => Promise.reject(new CroftError('unavailable', 'no')),
    stalls: (_id, _reason, _epoch, { signal }) =>
      new Promise((_, reject) => signal?.addEventListener('abort', () => reject(signal.reason as Error), { once: true })),
  };
  for (const cancel of Object.values(deaf)) {
    await trial(
      () => ({ cancel }),
      async (tried) => {
        await tried.running();
        await tried.cancel();
        assert.deepEqual(await endWithin(tried, HOUR), { kind: 'cancelled', by: 'tester', why: 'enough' });
      },
      { script: 'sleep 600' },
    );
  }
});

test('a machine that answers but never does what it is asked is unfit after a while', async () => {
  const no = (): Promise<never> => Promise.reject(new CroftError('unavailable', 'not now'));
  for (const method of ['runs', 'removeAll', 'putTarGz', 'startOrAttach'] as const) {
    await trial(
      () => ({ [method]: no }),
      async (tried) => {
        assert.partialDeepStrictEqual(await endWithin(tried, HOUR), { kind: 'infra', cause: 'machine-unfit' }, method);
      },
    );
  }
});

async function* broken(failure: Error): AsyncGenerator<TarEntry> {
  yield { kind: 'directory', path: Buffer.from('d') };
  throw failure;
}

test('a source that cannot be read is told as that, once', async () => {
  const failures = [new TypeError('a bug in the generator'), new CroftError('unavailable', 'git object 42 is missing')];
  for (const failure of failures) {
    let tars = 0;
    const tar = (): AsyncIterable<Buffer> => {
      tars += 1;
      return packTarGz(broken(failure));
    };
    await trial(
      () => ({}),
      async ({ end }) => {
        const found = await end;
        assert.ok(
          found.kind === 'infra' && found.cause === 'source-failed' && found.evidence.includes(failure.message),
          JSON.stringify(found),
        );
      },
      { farm: { source: { plan: async () => ({ steps: [step('it', 'true')], reason: 'test' }), caches: async () => [], tar } } },
    );
    assert.equal(tars, 1);
  }
});

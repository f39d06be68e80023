/** How many changes of state the store makes durable in a second: the one that drivers make most often, behind its fence. */
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { parseBuilderName, parseBuildId, parseLeaseId, parseMachineId, parseRepoName, parseRevision, runId } from '@croft/domain/names';
import { silentLog } from '@croft/runtime/log';
import { insertAttempt } from '@croft/store/attempts';
import { insertBuild } from '@croft/store/builds';
import { openDatabase, type Database } from '@croft/store/database';
import { insertLease, writeAsHolder, type Hold } from '@croft/store/leases';
import { upsertMachine } from '@croft/store/machines';
import { insertSteps, saveStepState } from '@croft/store/steps';
import type { Bench, Measurement, Row } from '../row.ts';

const atOnce = 64;
const rounds = 12;
const warmUps = 2;
const roundMs = 500;
const goal = 10_000;

export const durability: Row = {
  name: 'durability',
  about: 'changes of a step’s state, each a transaction behind the fence of its lease',
  run,
};

async function run(bench: Bench): Promise<Measurement[]> {
  const { dir, clock, signal, progress } = bench;
  await using power = await openSample(`sqlite:${join(dir, 'power.db')}`, 'power');
  await using kill = await openSample(`sqlite:${join(dir, 'kill.db')}`, 'kill');
  using plain = openPlain(join(dir, 'power.db'));
  const rates = { together: [] as number[], single: [] as number[], plain: [] as number[] };
  for (let round = 1; round <= warmUps + rounds; round += 1) {
    progress(`round ${round} of ${warmUps + rounds}`);
    signal.throwIfAborted();
    const together = await rate(
      clock,
      power.attempts.map((attempt) => () => power.change(attempt)),
    );
    const [first] = kill.attempts;
    const single = await rate(clock, first ? [() => kill.change(first)] : []);
    const alone = await rate(clock, [async () => plain.change()]);
    if (round <= warmUps) continue;
    rates.together.push(together);
    rates.single.push(single);
    rates.plain.push(alone);
  }
  const peer = { what: 'plain SQLite, synchronous=FULL, one by one', samples: rates.plain };
  return [
    { what: `power-loss safe, ${atOnce} at once`, unit: '/s', samples: rates.together, goal, peer },
    { what: 'safe from kill -9, one by one', unit: '/s', samples: rates.single, goal, peer },
  ];
}

/** How often in a second the changers, each repeating its change as soon as it is made, come to an end of one. */
async function rate(clock: Bench['clock'], changers: readonly (() => Promise<void>)[]): Promise<number> {
  const startedAt = clock.monotonic();
  let changes = 0;
  const repeat = async (change: () => Promise<void>): Promise<void> => {
    while (clock.monotonic() - startedAt < roundMs) {
      await change();
      changes += 1;
    }
  };
  await Promise.all(changers.map(repeat));
  return (changes * 1_000) / (clock.monotonic() - startedAt);
}

type Attempt = Hold & { readonly build: ReturnType<typeof parseBuildId> };

interface Sample extends AsyncDisposable {
  readonly attempts: readonly Attempt[];
  /** Durable when it resolves. */
  change(attempt: Attempt): Promise<void>;
}

/** A store with as many running attempts as are changed at once. */
async function openSample(url: string, durable: 'power' | 'kill'): Promise<Sample> {
  const database = await openDatabase({ url, durability: durable, log: silentLog });
  const attempts: Attempt[] = [];
  for (let n = 0; n < atOnce; n += 1) attempts.push(await insertRunning(database, n));
  let changes = 0;
  return {
    attempts,
    async change({ build, ...hold }) {
      const state = { kind: 'running', startedAt: (changes += 1), logFrom: 0 } as const;
      await writeAsHolder(database, hold, (sql) => saveStepState(sql, { build, number: 1, index: 0 }, state));
    },
    [Symbol.asyncDispose]: () => database[Symbol.asyncDispose](),
  };
}

function insertRunning(database: Database, n: number): Promise<Attempt> {
  const digits = n.toString(16).padStart(16, '0');
  const build = parseBuildId(`B${digits}`);
  const machine = parseMachineId(`machine-${n}`);
  const builder = parseBuilderName('bench');
  const [lease, at, number] = [parseLeaseId(`L${digits}`), 1, 1];
  const revisions = [{ repo: parseRepoName('sample'), revision: parseRevision(digits.padStart(40, '0')) }];
  return database.write(async (sql) => {
    const trigger = { kind: 'branch', ref: 'main' } as const;
    await insertBuild(sql, { id: build, builder, revisions, trigger, band: 'post-submit', needs: { labels: [] }, createdAt: at });
    await upsertMachine(sql, { id: machine, pool: 'local', hostType: 'host', labels: [], address: null, at });
    const held = await insertLease(sql, { id: lease, machine, holder: { kind: 'attempt', id: `${build}.1` }, at });
    const epoch = held?.state.epoch ?? 0;
    await insertAttempt(sql, { build, number, builder, startedAt: at, machine, lease, epoch });
    await insertSteps(sql, { build, number }, [{ name: 'command', role: 'step', run: runId(build, number, 'command') }]);
    return { build, lease, epoch };
  });
}

/** The same row changed by the shortest program there is. */
function openPlain(path: string): Disposable & { change(): void } {
  const database = new DatabaseSync(path);
  database.exec('PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL');
  const update = database.prepare(
    "UPDATE steps SET state = 'running', started_at = ?, log_from = 0 WHERE build = ? AND attempt = 1 AND idx = 0",
  );
  let changes = 0;
  return {
    change: () => void update.run((changes += 1), 'B0000000000000000'),
    [Symbol.dispose]: () => database.close(),
  };
}

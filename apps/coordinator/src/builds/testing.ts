/**
 * A coordinator that dies at a chosen moment. Everything it does goes through ports; at the n-th use of one it is as if killed with
 * -9: that call and every later one never returns. The next incarnation has nothing but the store, the disk and the buildlet.
 */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { openDirectoryBlobs } from '@croft/blobs/directory';
import type { BlobStore } from '@croft/blobs/blobs';
import { createBuildlet } from '@croft/buildlet/client';
import { startTestBuildlet, type TestBuildlet } from '@croft/buildlet/testing';
import type { Builder, Step } from '@croft/domain/job';
import { anyBuilder } from '@croft/domain/testing';
import { parseMachineId, parseRepoName, parseRevision, type BuildId } from '@croft/domain/names';
import { systemClock, type Clock } from '@croft/runtime/clock';
import { Secret } from '@croft/runtime/config';
import { sha256Hex } from '@croft/runtime/digest';
import { silentLog } from '@croft/runtime/log';
import { systemRandom } from '@croft/runtime/random';
import { insertBuild, type NewBuild } from '@croft/store/builds';
import { openDatabase, type Database } from '@croft/store/database';
import { upsertMachine } from '@croft/store/machines';
import { packTarGz, type TarEntry } from '@croft/streams/tar-pack';
import { resolveCaches } from '../caches/cache-keys.ts';
import { createCacheRecords } from '../caches/cache-records.ts';
import { createAttemptLogs } from '../logs/attempt-logs.ts';
import { keepSecrets } from '@croft/config/keep-secrets';
import { wantedBuilds } from './find-work.ts';
import { createRecords, type Holds, type Records } from './records.ts';
import { runBuild } from './run-build.ts';
import type { FarmDeps, Work } from './work.ts';

export const machine = parseMachineId('m-1');
export const repo = parseRepoName('app');

export interface Bench extends AsyncDisposable {
  readonly dir: string;
  readonly db: Database;
  readonly buildlet: TestBuildlet;
  readonly builder: Builder;
  /** Values by name. */
  readonly secrets: Readonly<Record<string, string>>;
  readonly clock: Clock;
  readonly blobs: BlobStore;
  /** Closes what the dead left open; the system does it for processes. */
  readonly left: AsyncDisposableStack;
}

export function step(name: string, script: string, limitMs = 60_000): Step {
  return { name, role: 'step', argv: ['sh', '-c', script], env: {}, dir: '.', limitMs };
}

interface BenchOptions extends Partial<Pick<Builder, 'artifacts' | 'caches' | 'services'>> {
  readonly clock?: Clock;
  readonly secrets?: Bench['secrets'];
}

export async function openBench(
  steps: readonly Step[],
  { clock = systemClock, secrets = {}, ...declared }: BenchOptions = {},
): Promise<Bench> {
  await using stack = new AsyncDisposableStack();
  const dir = await mkdtemp(join(tmpdir(), 'croft-replay-'));
  stack.defer(() => rm(dir, { recursive: true, force: true }));
  const db = stack.use(await openDatabase({ url: `sqlite:${join(dir, 'croft.db')}`, durability: 'kill', log: silentLog }));
  const blobs = await openDirectoryBlobs(join(dir, 'blobs'), { lowWaterBytes: 0, clock, random: systemRandom });
  const buildlet = stack.use(await startTestBuildlet());
  await db.write((sql) => upsertMachine(sql, { id: machine, pool: 'test', hostType: 'test', labels: [], address: null, at: clock.now() }));
  const left = stack.use(new AsyncDisposableStack());
  const owned = stack.move();
  const builder = anyBuilder({ steps, ...declared });
  return { dir, left, db, blobs, buildlet, builder, secrets, clock, [Symbol.asyncDispose]: () => owned.disposeAsync() };
}

/** Queues a build of a revision made from `name`. */
export async function queueBuild({ db, builder, clock }: Bench, name: string, over: Partial<NewBuild> = {}): Promise<BuildId> {
  const revision = parseRevision(sha256Hex(name).slice(0, 40));
  const [build] = wantedBuilds({ repo, branch: 'main', revisions: [revision] }, { builders: [builder], policies: [] });
  if (!build) throw new Error('no build');
  await db.write((sql) => insertBuild(sql, { ...build, createdAt: clock.now(), ...over }));
  return build.id;
}

export interface Incarnation {
  readonly records: Records;
  readonly farm: FarmDeps;
  /** Uses of ports so far. */
  readonly uses: () => number;
  /** Resolves when it has died. */
  readonly died: Promise<void>;
  run(work: Work, cancelled?: AbortSignal): ReturnType<typeof runBuild>;
}

export interface Death {
  /** The use of a port at which it dies. */
  readonly dieAt?: number;
  /** The effect of that use still happens. */
  readonly after?: boolean;
  /** Dies at the first use of the method of this name. */
  readonly dieOn?: string;
}

export interface Mortality {
  /** Each effect goes through it. */
  readonly use: Use;
  readonly uses: () => number;
  readonly died: Promise<void>;
}

/** Whoever does everything through it is as if killed with -9 at the chosen use: that call and every later one never returns. */
export function openMortality({ left }: Pick<Bench, 'left'>, { dieAt = Infinity, after = false, dieOn }: Death = {}): Mortality {
  let uses = 0;
  let last = dieAt;
  const death = Promise.withResolvers<void>();
  // The system closes what the dead had open; here they are told at the end of the bench, so that they close it themselves.
  const { promise: never, reject: bury } = Promise.withResolvers<never>();
  never.catch(() => undefined);
  left.defer(() => bury(new Error('it died')));
  const use: Use = async (effect, name) => {
    uses += 1;
    if (name !== undefined && name === dieOn) last = uses;
    if (uses < last) {
      const result = await effect();
      return uses >= last ? never : result;
    }
    if (uses === last && after) await effect();
    death.resolve();
    return never;
  };
  return { use, uses: () => uses, died: death.promise };
}

export function incarnate(
  { dir, db, blobs, buildlet, builder, secrets, clock, left }: Bench,
  death: Death = {},
  holds?: Holds,
): Incarnation {
  const { use, uses, died } = openMortality({ left }, death);
  const metrics = { attemptEnded() {}, buildEnded() {} };
  const records = createRecords(db, { builders: () => [builder], clock, random: systemRandom, metrics, onMove() {}, holds });
  const logs = createAttemptLogs(join(dir, 'logs'), { clock, onStored() {} });
  const farm: FarmDeps = {
    records: mortal(records, use),
    logs: {
      async resume(work, bytes) {
        const log = await use(() => logs.resume(work, bytes));
        if (!log) return undefined;
        left.defer(() => log[Symbol.asyncDispose]());
        return mortal(log, use);
      },
    },
    source: {
      plan: () => use(() => ({ steps: builder.steps === 'detect' ? [] : builder.steps, reason: 'configured for the test' })),
      caches: () => use(() => resolveCaches(builder.caches, [])),
      tar: () => packTarGz(tree()),
    },
    blobs: mortal(blobs, use),
    caches: mortal(createCacheRecords(db, { maxBytes: () => 1e9, clock }), use),
    connect: () => mortal(createBuildlet(buildlet.address, { clock: systemClock }), use),
    onUnreachable() {},
    secrets: keepSecrets(new Map(Object.entries(secrets).map(([name, value]) => [name, new Secret(value)]))),
    clock,
    random: systemRandom,
    log: silentLog,
    outputLimitBytes: 1e9,
  };
  const signal = new AbortController().signal;
  return {
    records,
    farm,
    uses,
    died,
    run: (work, cancelled = signal) => runBuild(work, farm, { signal, cancelled }),
  };
}

async function* tree(): AsyncGenerator<TarEntry> {
  const content = Buffer.from('from the tree\n');
  yield { kind: 'file', path: Buffer.from('hello'), mode: 0o644, mtime: 0, size: content.length, content };
}

export type Use = <T>(effect: () => T | Promise<T>, name?: string) => Promise<T>;

/** The same port; each call, and each piece of a stream or that is poured, is one use. */
export function mortal<Port extends object>(port: Port, use: Use): Port {
  return new Proxy(port, {
    get(target, name) {
      const value: unknown = Reflect.get(target, name, target);
      if (typeof value !== 'function') return value;
      return (...args: unknown[]): unknown => {
        if (name === 'output' || name === 'getTarGz' || name === 'read')
          return pieces(() => value.apply(target, args) as AsyncIterable<unknown>, { name, use });
        const given = args.map((arg) =>
          typeof arg === 'function' ? (piece: unknown) => use(() => arg(piece) as unknown, String(name)) : arg,
        );
        return use(() => value.apply(target, given) as unknown, String(name));
      };
    },
  });
}

async function* pieces(open: () => AsyncIterable<unknown>, { name, use }: { name: string; use: Use }): AsyncGenerator<unknown> {
  const iterator = open()[Symbol.asyncIterator]();
  try {
    for (;;) {
      const next = await use(() => iterator.next(), name);
      if (next.done) return;
      yield next.value;
    }
  } finally {
    await iterator.return?.();
  }
}

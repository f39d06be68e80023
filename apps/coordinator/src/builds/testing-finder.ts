/** A finder over a real repository and a real database, for tests. It looks when it is told to: its clock stands still. */
import assert from 'node:assert/strict';
import { join } from 'node:path';
import type { ConfigInput } from '@croft/config/define-config';
import type { FarmConfig } from '@croft/config/farm-config';
import { readConfig } from '@croft/config/read-config';
import { parseRepoName } from '@croft/domain/names';
import { createPlace, createRepo, runGit, type Repo } from '@croft/forge/testing';
import { systemClock } from '@croft/runtime/clock';
import { CroftError } from '@croft/runtime/errors';
import { silentLog } from '@croft/runtime/log';
import { createTaskGroup } from '@croft/runtime/tasks';
import { FakeClock, seededRandom } from '@croft/runtime/testing';
import { openDatabase, type Database } from '@croft/store/database';
import { createFinder, type FindDeps, type Finder } from './find-loop.ts';
import type { Found } from './look.ts';
import { createWorkRecords } from './record-found.ts';
import { openSources, type Sources } from './source.ts';

export const app = parseRepoName('app');

export interface FinderStage extends AsyncDisposable {
  /** What the farm looks at. */
  readonly repo: Repo;
  readonly db: Database;
  /** Of the polls. */
  readonly clock: FakeClock;
  /** The one that runs. */
  readonly finder: Finder;
  /** What was to be stored, piece by piece. */
  readonly found: Found[];
  /** The next piece is stored. */
  stored(): Promise<void>;
  /** What the next look that finds something queues. */
  queued(): Promise<readonly string[]>;
  /** The next look fails. */
  failed(): Promise<void>;
  /** Reads the configuration anew. */
  configure(settings: Pick<FinderSettings, 'builders'>): void;
  /** Has another configuration hold, as an edited file does. */
  reload(differs: Pick<ConfigInput, 'repos' | 'builders' | 'dependents'>): Promise<void>;
  /** Ends the finder in the middle of whatever it does, and starts another over what it left. */
  restart(): Promise<void>;
  /** After so many writes nothing more can be stored, until this is called again, or the restart. */
  failAfter(writes: number): void;
}

type RepoInput = NonNullable<ConfigInput['repos']>[number];
type BuilderInput = NonNullable<ConfigInput['builders']>[number];

export interface FinderSettings extends Partial<RepoInput> {
  /** How many, or what differs in each. */
  readonly builders?: number | readonly Partial<BuilderInput>[];
  /** The farm looks at a shallow clone of three commits. */
  readonly shallow?: boolean;
}

/** The repository has one commit, `first`, on `main`. */
export async function openFinderStage({ builders = 1, shallow = false, ...rest }: FinderSettings = {}): Promise<FinderStage> {
  await using stack = new AsyncDisposableStack();
  const place = stack.use(createPlace());
  const repo = shallow ? createShallow(place.dir) : createOne(place.dir);
  const repos = [{ name: app, url: repo.dir, pollMs: 3_600_000, ...rest }];
  const configOf = (all: FinderSettings['builders']): FarmConfig => readConfig({ dataDir: place.dir, repos, builders: builderInputs(all) });
  let config = configOf(builders);
  const db = stack.use(await openDatabase({ url: `sqlite:${join(place.dir, 'croft.db')}`, durability: 'kill', log: silentLog }));
  const clock = new FakeClock();
  const { found, next, hooks, failAfter } = listen(db);
  const start = async (): Promise<AsyncDisposable & { finder: Finder; sources: Sources }> => {
    await using own = new AsyncDisposableStack();
    const sources = own.use(openSources(config.repos, { dir: join(place.dir, 'repos'), clock: systemClock }));
    const finder = createFinder({ sources, config: () => config, clock, random: seededRandom(1), log: silentLog, ...hooks });
    const tasks = own.use(createTaskGroup((_, error) => assert.fail(String(error))));
    tasks.start('find', (waits) => finder.run(waits));
    const owned = own.move();
    return { finder, sources, [Symbol.asyncDispose]: () => owned.disposeAsync() };
  };
  let running = await start();
  stack.defer(() => running[Symbol.asyncDispose]());
  const owned = stack.move();
  return {
    repo,
    db,
    clock,
    get finder() {
      return running.finder;
    },
    found,
    stored: () => next.stored.promise,
    queued: () => next.queued.promise,
    failed: () => next.failed.promise,
    configure: (settings) => (config = configOf(settings.builders)),
    async reload(differs) {
      config = readConfig({ dataDir: place.dir, repos, builders: builderInputs(builders), ...differs });
      running.sources.declare(config.repos);
      running.finder.reconfigure();
    },
    async restart() {
      await running[Symbol.asyncDispose]();
      failAfter(Infinity);
      running = await start();
    },
    failAfter,
    [Symbol.asyncDispose]: () => owned.disposeAsync(),
  };
}

/** What the finder calls, and how a test hears of it. */
function listen(db: Database) {
  const next = {
    stored: Promise.withResolvers<void>(),
    queued: Promise.withResolvers<readonly string[]>(),
    failed: Promise.withResolvers<void>(),
  };
  let writesLeft = Infinity;
  const found: Found[] = [];
  const records = createWorkRecords(
    failing(db, () => writesLeft-- <= 0),
    systemClock,
  );
  const recordFound = async (all: Found): Promise<string[]> => {
    found.push(all);
    const builds = await records.recordFound(all);
    next.stored.resolve();
    next.stored = Promise.withResolvers();
    return builds;
  };
  const hooks: Pick<FindDeps, 'records' | 'onFound' | 'onUnreadable' | 'onOutdated'> = {
    records: { ...records, recordFound },
    onFound(_, queued) {
      next.queued.resolve(queued);
      next.queued = Promise.withResolvers();
    },
    onUnreadable() {
      next.failed.resolve();
      next.failed = Promise.withResolvers();
    },
    onOutdated() {},
  };
  return { found, next, hooks, failAfter: (writes: number) => void (writesLeft = writes) };
}

function builderInputs(all: FinderSettings['builders']): BuilderInput[] {
  const each = typeof all === 'number' ? Array.from({ length: all }, () => ({})) : (all ?? []);
  return each.map((differs, n) => ({ name: `builder-${n}`, repo: app, ...differs }));
}

function createOne(dir: string): Repo {
  const repo = createRepo(join(dir, 'origin'));
  repo.write('a', 'a');
  repo.commit('first');
  return repo;
}

function createShallow(dir: string): Repo {
  const origin = createRepo(join(dir, 'whole'));
  for (const message of ['first', 'second', 'third']) origin.commit(message);
  const clone = join(dir, 'origin');
  runGit(dir, ['clone', '--quiet', '--depth=1', `file://${origin.dir}`, clone]);
  return { ...origin, dir: clone, git: (...args) => runGit(clone, args) };
}

function failing(db: Database, isBroken: () => boolean): Pick<Database, 'write'> {
  return {
    async write(act) {
      if (isBroken()) throw new CroftError('unavailable', 'the disk is gone');
      return db.write(act);
    },
  };
}

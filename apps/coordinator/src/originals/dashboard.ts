/** The originals' dashboard over what this farm stores (coordinator.md 9.1 to 9.5, D17-1 to D17-3): results, commits, marks. */
import type { Builder } from '@croft/domain/job';
import type { BuilderName, BuildId, RepoName, Revision } from '@croft/domain/names';
import { MINUTE, type Clock, type Waits } from '@croft/runtime/clock';
import { CroftError, isCode } from '@croft/runtime/errors';
import { listBuilds, runningBuilds } from '@croft/store/build-lists';
import { appendCommit, branchCommits, branches, getCommits, placeOfCommit, type Commit } from '@croft/store/commits';
import type { Database } from '@croft/store/database';
import { defaultBranch, pageSize, readResults, type ResultPage, type ResultsQuery } from './read-results.ts';
import type { Packages } from './packages.ts';
import { createReport, type Reported, type ReportDeps } from './report-results.ts';

export interface Dashboard {
  readonly packages: Packages;
  results(query: ResultsQuery): Promise<ResultPage>;
  /** @throws CroftError `conflict` while the farm builds it itself, or when another report came first */
  report(result: Omit<Reported, 'branch'>): Promise<BuildId>;
  /** Lets what has ended be built again; without hashes, the failures of the newest page. Returns how many those were; an abort leaves the rest. */
  clear(wish: ClearWish, waits?: Waits): Promise<number>;
  /** @throws CroftError `not-found` */
  commit(repo: RepoName, revision: Revision): Promise<KnownCommit>;
  /** Tells of a commit before it was found. @throws CroftError `conflict` when its parent is not known */
  addCommit(repo: RepoName, branch: string, commit: Commit): Promise<void>;
  /** Somebody outside says that a build goes on there; good for a quarter of an hour. */
  mark(build: ActiveBuild): void;
  /** What is being built because it is on a branch, here and outside. */
  active(): Promise<ActiveBuild[]>;
}

export interface ClearWish {
  readonly builder: BuilderName;
  readonly repo: RepoName;
  readonly revisions: readonly Revision[];
}

export interface KnownCommit extends Commit {
  readonly branch: string;
  /** Its number on that branch. */
  readonly number: number;
}

export interface ActiveBuild {
  readonly builder: string;
  readonly commit: string;
  readonly goCommit?: string;
  /** A path of this farm, or somebody else's address. */
  readonly url: string;
}

export interface DashboardDeps extends Omit<ReportDeps, 'builders'> {
  readonly builders: () => readonly Pick<Builder, 'name' | 'repos' | 'needs'>[];
  readonly packages: () => Packages;
  /** Queues an ended build again. @throws CroftError `conflict` when it has not ended */
  retry(build: BuildId): Promise<unknown>;
  /** Looks for commits at once. */
  look(repo: RepoName): void;
}

const markMs = 15 * MINUTE;
const maxMarks = 10_000;

export function createDashboard(deps: DashboardDeps): Dashboard {
  const { db, builders, packages, clock } = deps;
  const report = createReport(deps);
  const marks = createMarks(clock);
  return {
    get packages() {
      return packages();
    },
    results: (query) => db.read((sql) => readResults(sql, query, { packages: packages(), builders: builders() })),
    async report(result) {
      const repo = result.revisions[0]?.repo;
      const branch = repo && (await db.read(async (sql) => defaultBranch(sql, repo, await branches(sql, repo))));
      return report({ ...result, branch: branch ?? '' });
    },
    async clear(wish, { signal } = {}) {
      const builds = await clearable(db, wish);
      for (const build of builds) {
        signal?.throwIfAborted();
        await deps.retry(build).catch((error: unknown) => {
          if (!isCode(error, 'conflict')) throw error; // it runs again already
        });
      }
      return builds.length;
    },
    commit: (repo, revision) => findCommit(db, repo, revision),
    async addCommit(repo, branch, commit) {
      await insertAsTold(db, { repo, branch, commit });
      deps.look(repo);
    },
    mark: (build) => marks.add(build),
    active: async () => [...(await runningHere(db)), ...marks.list()],
  };
}

async function clearable(db: Database, { builder, repo, revisions }: ClearWish): Promise<BuildId[]> {
  return db.read(async (sql) => {
    const branch = await defaultBranch(sql, repo, await branches(sql, repo));
    const newest = revisions.length > 0 || branch === undefined ? [] : await branchCommits(sql, repo, { branch, limit: pageSize });
    const found: BuildId[] = [];
    for (const revision of revisions.length > 0 ? revisions : newest.map((commit) => commit.revision)) {
      for (const { id, state, trigger } of await listBuilds(sql, { revision, builder, repo, state: 'ended', limit: pageSize })) {
        if (trigger.kind !== 'branch' || state.kind !== 'ended') continue;
        if (revisions.length > 0 || state.end.kind === 'failed' || state.end.kind === 'timed-out') found.push(id);
      }
    }
    return found;
  });
}

async function findCommit(db: Database, repo: RepoName, revision: Revision): Promise<KnownCommit> {
  return db.read(async (sql) => {
    const commit = (await getCommits(sql, repo, [revision])).get(revision);
    if (!commit) throw new CroftError('not-found', 'Commit not found'); // the words that the originals' watcher waits for
    const place = await placeOfCommit(sql, repo, revision);
    return { ...commit, branch: place?.branch ?? '', number: place?.position ?? 0 };
  });
}

async function insertAsTold(db: Database, { repo, branch, commit }: { repo: RepoName; branch: string; commit: Commit }): Promise<void> {
  await db.write(async (sql) => {
    const [parent] = commit.parents;
    const known = await getCommits(sql, repo, parent === undefined ? [commit.revision] : [commit.revision, parent]);
    if (known.has(commit.revision)) return;
    if (parent !== undefined && !known.has(parent)) throw new CroftError('conflict', 'parent commit not found');
    await appendCommit(sql, repo, { branch, commit });
  });
}

async function runningHere(db: Database): Promise<ActiveBuild[]> {
  const builds = await db.read(runningBuilds);
  return builds
    .filter(({ trigger }) => trigger.kind === 'branch')
    .map(({ id, builder, revision, revisions: [, beside] }) => {
      const active = { builder, commit: revision, url: `/builds/${id}` };
      return beside ? { ...active, goCommit: beside.revision } : active;
    });
}

/** Kept in memory only: whoever builds tells it again. */
function createMarks(clock: Clock): { add(build: ActiveBuild): void; list(): ActiveBuild[] } {
  /** In the order in which they end. */
  const marks = new Map<string, { build: ActiveBuild; until: number }>();
  const drop = (): void => {
    for (const [key, { until }] of marks) if (until <= clock.monotonic() || marks.size > maxMarks) marks.delete(key);
  };
  return {
    add(build) {
      const key = [build.commit, build.goCommit, build.builder].join('|');
      marks.delete(key);
      marks.set(key, { build, until: clock.monotonic() + markMs });
      drop();
    },
    list() {
      drop();
      return [...marks.values()].map(({ build }) => build);
    },
  };
}

/** The whole HTTP side over a real dashboard: its own database, logs and records, two repositories with three commits each. */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseBuilderName, parseRepoName, type BuildId, type Revision } from '@croft/domain/names';
import { systemClock } from '@croft/runtime/clock';
import { silentLog, type Log } from '@croft/runtime/log';
import { systemRandom } from '@croft/runtime/random';
import { attemptsOf, type Attempt } from '@croft/store/attempts';
import { recordBranch } from '@croft/store/commits';
import { openDatabase, type Database } from '@croft/store/database';
import { attemptByLogSha1, segmentsOf } from '@croft/store/logs';
import { recordFetch, upsertRepo } from '@croft/store/repos';
import { createRecords, type Records } from '../builds/records.ts';
import type { LogReader } from '../capabilities.ts';
import { createMetrics } from '../events.ts';
import { createAttemptLogs } from '../logs/attempt-logs.ts';
import { fakeFarm, type FakeFarm } from '../pages/testing.ts';
import { openTestApp, type TestApp } from '../routes/testing.ts';
import { createBuilderKeys, type BuilderKeys } from './builder-keys.ts';
import { createDashboard, type Dashboard } from './dashboard.ts';
import { createPackages } from './packages.ts';

export interface DashboardStage extends AsyncDisposable {
  readonly app: TestApp;
  readonly db: Database;
  readonly dir: string;
  readonly farm: Omit<FakeFarm, 'dashboard'> & { readonly dashboard: Dashboard };
  readonly records: Records;
  readonly keys: BuilderKeys;
  /** Repositories that were to be looked at. */
  readonly looked: string[];
  /** What the grid says, each row by revision. */
  results(query?: string): Promise<Record<string, Record<string, string>>>;
  attempts(build: BuildId): Promise<Attempt[]>;
}

export const masterKey = 'a master key of tests';
export const go = parseRepoName('go');
export const net = parseRepoName('net');
export const unit = parseBuilderName('unit');
/** Commit `n` of each repository; the tip is 3. */
export const revision = (n: number): Revision => n.toString(16).padStart(40, '0') as Revision;

interface StageOptions {
  readonly keys?: boolean;
  readonly log?: Log;
  readonly publicNames?: readonly string[];
}

export async function openDashboardStage({ keys = true, log = silentLog, publicNames = [] }: StageOptions = {}): Promise<DashboardStage> {
  await using stack = new AsyncDisposableStack();
  const dir = await mkdtemp(join(tmpdir(), 'croft-dashboard-'));
  stack.defer(() => rm(dir, { recursive: true, force: true }));
  const db = stack.use(await openDatabase({ url: `sqlite:${join(dir, 'croft.db')}`, durability: 'kill', log }));
  for (const repo of [go, net]) await addCommits(db, repo);
  const clock = systemClock;
  const metrics = createMetrics();
  const logs = createAttemptLogs(join(dir, 'logs'), { clock, onStored: () => undefined });
  const records = createRecords(db, { builders: () => [], clock, random: systemRandom, metrics, onMove: () => undefined });
  const looked: string[] = [];
  const builders = () => [{ name: unit, repos: [go], needs: { labels: [] } }];
  const packages = () => createPackages([net, go]);
  const [retry, look] = [records.retry, (repo: string) => void looked.push(repo)];
  const dashboard = createDashboard({ db, clock, metrics, logs, builders, packages, onMove: () => undefined, retry, look });
  const logByHash = async (sha1: string): Promise<LogReader | undefined> => {
    const attempt = await db.read((sql) => attemptByLogSha1(sql, sha1));
    return attempt && logs.reader(attempt.build, attempt.number, () => db.read((sql) => segmentsOf(sql, attempt)));
  };
  const farm = { ...fakeFarm(), dashboard, logByHash };
  const builderKeys = createBuilderKeys(masterKey, [parseBuilderName('revoked')]);
  const app = stack.use(await openTestApp({ capabilities: farm, keys: keys ? builderKeys : undefined, log, publicNames }));
  const owned = stack.move();
  return {
    app,
    db,
    dir,
    farm,
    records,
    keys: builderKeys,
    looked,
    async results(query = '') {
      const { builders: names, revisions } = (await (await app.ask(`/?mode=json${query}`)).json()) as {
        builders: string[];
        revisions: { revision: string; goRevision?: string; results: string[] }[];
      };
      const rows = revisions.map(({ revision: at, goRevision = '', results }) => {
        const cells = results.map((result, index): [string, string] => [names[index] ?? '', result]);
        return [`${at}${goRevision && ` ${goRevision}`}`, Object.fromEntries(cells)] as const;
      });
      return Object.fromEntries(rows);
    },
    attempts: (build) => db.read((sql) => attemptsOf(sql, build)),
    [Symbol.asyncDispose]: () => owned.disposeAsync(),
  };
}

async function addCommits(db: Database, repo: typeof go): Promise<void> {
  const commit = (n: number) => ({
    revision: revision(n),
    parents: n > 1 ? [revision(n - 1)] : [],
    authorName: 'Ee Yore',
    authorEmail: 'e@example.org',
    committedAt: 1_500_000_000_000 + n * 1_000,
    subject: `change ${n}`,
  });
  await db.write(async (sql) => {
    await upsertRepo(sql, { name: repo, url: '/nowhere' });
    await recordFetch(sql, repo, { at: 1, heads: { main: revision(3) }, defaultBranch: 'main' });
    await recordBranch(sql, repo, { branch: 'main', position: 3, commits: [3, 2, 1].map(commit) });
  });
}

/** The capabilities of a running coordinator: queries on the store, commands through the records. */
import type { BlobStore } from '@croft/blobs/blobs';
import type { Builder } from '@croft/domain/job';
import type { BuildId, RepoName } from '@croft/domain/names';
import { CroftError } from '@croft/runtime/errors';
import { attemptsOf, getAttempt, type Attempt } from '@croft/store/attempts';
import { getBuild, type StoredBuild } from '@croft/store/builds';
import type { Database } from '@croft/store/database';
import { attemptByLogSha1, segmentsOf } from '@croft/store/logs';
import { createBrowse } from './browse/browse.ts';
import type { Drivers } from './builds/drive-builds.ts';
import type { Finder } from './builds/find-loop.ts';
import type { Records } from './builds/records.ts';
import { planNow, type ScheduleDeps } from './builds/schedule.ts';
import type { Capabilities, Configuration, LogReader } from './capabilities.ts';
import { shownConfig } from './configuration/shown-config.ts';
import type { Changes } from './changes.ts';
import type { AttemptLogs } from './logs/attempt-logs.ts';
import { readArtifactFile, readArtifacts, readCacheUses, withBytes } from './queries/read-artifacts.ts';
import { readBuild, readBuilds, readGrid, summarize, type Outlook } from './queries/read-builds.ts';
import { readFarm, readFarmBrief, toConfigView, type FarmFacts } from './queries/read-farm.ts';
import { machineKinds, readMachines } from './queries/read-machines.ts';

export interface CapabilityDeps {
  readonly db: Database;
  readonly builders: () => readonly Builder[];
  readonly repos: () => readonly RepoName[];
  readonly records: Records;
  readonly drivers: Drivers;
  readonly finder: Finder;
  readonly logs: AttemptLogs;
  readonly blobs: BlobStore;
  readonly changes: Changes;
  readonly schedule: ScheduleDeps;
  readonly facts: () => FarmFacts;
  readonly ready: Capabilities['ready'];
  /** A text without the values of secrets. */
  clean(text: string): string;
  readonly dashboard: Capabilities['dashboard'];
  readonly farmer: Capabilities['farmer'];
  readonly care: Capabilities['machines'];
  readonly lending: { readonly sessions: Capabilities['sessions'] };
  /** Work may be waiting: look at the queue. */
  wake(): void;
}

export function createCapabilities(deps: CapabilityDeps): Capabilities {
  const { db, builders, repos, records, drivers, finder, changes } = deps;
  const outlook = (): Promise<Outlook> => readOutlook(deps);
  const summary = async (build: StoredBuild): ReturnType<Capabilities['cancel']> => {
    const view = await outlook();
    const [found] = await db.read((sql) => summarize(sql, [build], view));
    if (!found) throw new CroftError('internal', `build ${build.id} could not be summarised`);
    return found;
  };
  return {
    async grid(query) {
      const view = await outlook();
      return db.read((sql) => readGrid(sql, query, { repos: repos(), outlook: view }));
    },
    async builds(filter) {
      const view = await outlook();
      return db.read((sql) => readBuilds(sql, filter, view));
    },
    async build(id) {
      const view = await outlook();
      return db.read((sql) => readBuild(sql, id, view));
    },
    async farm(shown) {
      const view = await outlook();
      return db.read((sql) => (shown?.brief === true ? readFarmBrief(sql, deps.facts()) : readFarm(sql, deps.facts(), view)));
    },
    machineList: (filter) => db.read((sql) => readMachines(sql, deps.facts().watched, filter)),
    machineKinds: () => db.read((sql) => machineKinds(sql, deps.facts().watched)),
    configuration: async () => readConfiguration(deps),
    log: (id, number) => openLog(deps, id, number),
    async logByHash(sha1) {
      const attempt = await db.read((sql) => attemptByLogSha1(sql, sha1));
      return attempt && readerOf(deps, attempt);
    },
    artifacts: (id, of) => db.read((sql) => readArtifacts(sql, id, of)),
    cacheUses: (id, of) => db.read((sql) => readCacheUses(sql, id, of)),
    artifactFile: async (id, place) => withBytes(await db.read((sql) => readArtifactFile(sql, id, place)), deps.blobs),
    async cancel(id, by, why) {
      const build = await records.cancel(id, by, why);
      drivers.cancel(id);
      return summary(build);
    },
    async retry(id) {
      const build = await records.retry(id);
      deps.wake();
      return summary(build);
    },
    notify: async (repo, waits) => ({ queued: await finder.find(repo, waits) }),
    wake: (repo, branches) => finder.wake(repo, branches),
    changes: (waits) => changes.follow(waits),
    browse: createBrowse({ db, builders, repos, outlook }),
    machines: deps.care,
    sessions: deps.lending.sessions,
    dashboard: deps.dashboard,
    farmer: deps.farmer,
    ready: deps.ready,
  };
}

async function readOutlook({ schedule, builders, drivers }: CapabilityDeps): Promise<Outlook> {
  return { plan: await planNow(schedule), builders: builders(), troubles: drivers.troubles() };
}

function readConfiguration({ facts, clean }: CapabilityDeps): Configuration {
  const { config, status } = facts();
  return { state: toConfigView(config, status), settings: shownConfig(config, clean) };
}

async function openLog(deps: CapabilityDeps, id: BuildId, number: number): Promise<LogReader> {
  const attempt = await deps.db.read(async (sql) =>
    number === 0 ? (await attemptsOf(sql, id)).at(-1) : getAttempt(sql, { build: id, number }),
  );
  if (attempt) return readerOf(deps, attempt);
  const build = await deps.db.read((sql) => getBuild(sql, id));
  if (!build) throw new CroftError('not-found', `there is no build ${id}`);
  throw new CroftError('not-found', number === 0 ? `build ${id} has not started yet` : `build ${id} has no attempt ${number}`);
}

function readerOf(deps: CapabilityDeps, attempt: Attempt): Promise<LogReader> | LogReader {
  const { logs, db } = deps;
  const { build, number, log } = attempt;
  if (log.state === 'expired') throw new CroftError('not-found', `the log of build ${build}, attempt ${number}, was removed by retention`);
  if (log.state === 'complete') return logs.reader(build, number, () => db.read((sql) => segmentsOf(sql, attempt)));
  return logs.follower(build, number, {
    durableBytes: log.bytes,
    async ended() {
      const now = await db.read((sql) => getAttempt(sql, attempt));
      return now && now.log.state !== 'live' ? readerOf(deps, now) : undefined;
    },
  });
}

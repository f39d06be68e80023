/** The farm as a whole: the first of its machines, of what runs and of what waits, with how many there are of each; repositories, disk. */
import type { FarmConfig } from '@croft/config/farm-config';
import type { Farm, Trouble } from '@croft/protocol/api';
import { countByState, queuedBuilds, runningBuilds } from '@croft/store/build-lists';
import type { Sql } from '@croft/store/database';
import { listRepos } from '@croft/store/repos';
import type { ConfigStatus } from '../configuration/live-config.ts';
import type { DiskState } from '../disk.ts';
import type { WatchedMachine } from '../machines/watch-machines.ts';
import { summarize, type Outlook } from './read-builds.ts';
import { readMachines } from './read-machines.ts';

export interface FarmFacts {
  readonly version: string;
  readonly startedAt: number;
  readonly hold: string | undefined;
  readonly disk: DiskState;
  readonly watched: readonly WatchedMachine[];
  readonly dialIn: Farm['dialIn'];
  readonly troubles: readonly Trouble[];
  readonly config: FarmConfig;
  readonly status: ConfigStatus;
}

const shownMachines = 100;
const shownRunning = 50;
const shownQueue = 50;
const shownMistakes = 100;

export async function readFarm(sql: Sql, facts: FarmFacts, outlook: Outlook): Promise<Farm> {
  const { machines, counts } = await readMachines(sql, facts.watched, { limit: shownMachines });
  return {
    ...(await readFarmBrief(sql, facts)),
    machines,
    machineCounts: counts,
    running: await summarize(sql, await runningBuilds(sql, { limit: shownRunning }), outlook),
    queue: await summarize(sql, (await queuedBuilds(sql, { limit: shownQueue })).slice(0, shownQueue), outlook),
  };
}

/** Costs the same however many machines there are: without them, what runs and what waits. */
export async function readFarmBrief(sql: Sql, facts: FarmFacts): Promise<Farm> {
  const { version, startedAt, hold, disk, troubles, config, status, dialIn } = facts;
  const counts = await countByState(sql);
  return {
    version,
    startedAt,
    ...(hold === undefined ? {} : { hold }),
    troubles: [...troubles],
    disk,
    machines: [],
    machineCounts: { ready: 0, busy: 0, away: 0 },
    dialIn,
    running: [],
    runningLength: counts.running + counts.cancelling,
    queue: [],
    queueLength: counts.queued,
    repos: (await listRepos(sql))
      .filter(({ name }) => config.repos.some((repo) => repo.name === name))
      .map(({ name, url, defaultBranch, lastFetchAt, lastError }) => ({
        name,
        url,
        ...(defaultBranch === undefined ? {} : { defaultBranch }),
        ...(lastFetchAt === undefined ? {} : { lastFetchAt }),
        ...(lastError === undefined ? {} : { error: lastError }),
      })),
    config: toConfigView(config, status),
  };
}

export function toConfigView({ environment }: FarmConfig, { file, loadedAt, restart, problem }: ConfigStatus): Farm['config'] {
  const mistakes = (problem?.mistakes ?? []).slice(0, shownMistakes).map(({ line, setting, message, nearest, ...mistake }) => ({
    ...mistake,
    ...(line === undefined ? {} : { line }),
    ...(setting === '' ? {} : { setting }),
    message,
    ...(nearest === undefined ? {} : { nearest }),
  }));
  return {
    ...(file === undefined ? {} : { file }),
    environment,
    loadedAt,
    restart: [...restart],
    ...(problem ? { problem: { at: problem.at, count: problem.mistakes.length, mistakes } } : {}),
  };
}

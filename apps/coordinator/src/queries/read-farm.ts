/** The farm as a whole: machines with what each does and does next, what runs, the head of the queue, repositories, disk. */
import type { FarmConfig } from '@croft/config/farm-config';
import type { Farm, MachineView, Trouble } from '@croft/protocol/api';
import type { Lease } from '@croft/domain/lease';
import { countByState, queuedBuilds, runningBuilds } from '@croft/store/build-lists';
import type { Sql } from '@croft/store/database';
import { heldLeases } from '@croft/store/leases';
import { listMachines, machineIds, type Machine } from '@croft/store/machines';
import { listRepos } from '@croft/store/repos';
import { liveSessions, type Session } from '@croft/store/sessions';
import type { ConfigStatus } from '../configuration/live-config.ts';
import type { DiskState } from '../disk.ts';
import type { WatchedMachine } from '../machines/watch-machines.ts';
import { summarize, type Outlook } from './read-builds.ts';

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

const shownQueue = 50;
const shownMistakes = 100;

export async function readFarm(sql: Sql, facts: FarmFacts, outlook: Outlook): Promise<Farm> {
  const watched = new Map(facts.watched.map((machine) => [machine.observed.id, machine]));
  const sessions = new Map((await liveSessions(sql)).map((session) => [session.id as string, session]));
  const held = (await heldLeases(sql)).map((lease): Held => ({ lease, session: sessions.get(lease.holder.id) }));
  const leases = new Map(held.map((one) => [one.lease.machine, one]));
  const stored = await listMachines(sql);
  const views = stored.map((machine) => toMachineView(machine, leases.get(machine.id), watched.get(machine.id)));
  const known = new Set(stored.map(({ id }) => id));
  return {
    ...(await readFarmBrief(sql, facts)),
    machines: [...views, ...facts.watched.filter(({ observed }) => !known.has(observed.id)).map(neverUp)],
    running: await summarize(sql, await runningBuilds(sql), outlook),
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
    dialIn,
    running: [],
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

/** How many machines are in each state, by their ids alone. */
export async function countMachines(sql: Sql, watched: readonly WatchedMachine[]): Promise<Partial<Record<MachineView['state'], number>>> {
  const up = new Set(watched.filter(({ observed }) => observed.state === 'up').map(({ observed }) => observed.id));
  const busy = new Set((await heldLeases(sql)).map(({ machine }) => machine));
  const ids = new Set([...(await machineIds(sql)), ...watched.map(({ observed }) => observed.id)]);
  const counts: Partial<Record<MachineView['state'], number>> = {};
  for (const id of ids) {
    const state = up.has(id) ? (busy.has(id) ? 'busy' : 'ready') : 'away';
    counts[state] = (counts[state] ?? 0) + 1;
  }
  return counts;
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

/** Its pool tries, and says what is in the way. */
function neverUp(now: WatchedMachine): MachineView {
  const { observed, pool, seenAt } = now;
  const { id, hostType, labels } = observed;
  return toMachineView(
    { id, pool, hostType, labels, createdAt: seenAt, epoch: 0, seenAt, evidence: undefined, drained: undefined },
    undefined,
    now,
  );
}

/** A lease, with the session that it is. */
interface Held {
  readonly lease: Lease;
  readonly session: Session | undefined;
}

type ShownMachine = Omit<Machine, 'state' | 'goneAt' | 'boot'>;

function toMachineView(machine: ShownMachine, held: Held | undefined, now: WatchedMachine | undefined): MachineView {
  const { id, pool, hostType, labels, createdAt, epoch } = machine;
  const up = now?.observed.state === 'up';
  const state = !up ? 'away' : held ? 'busy' : 'ready';
  const evidence = up ? undefined : (now?.observed.evidence ?? machine.evidence ?? 'no pool has this machine');
  const { freeBytes, version, line, note, container } = now?.observed ?? {};
  return {
    id,
    pool,
    hostType,
    labels: [...labels],
    state,
    createdAt,
    epoch,
    seenAt: now?.seenAt ?? machine.seenAt,
    ...(freeBytes === undefined ? {} : { freeBytes }),
    ...(up && now?.observed.held !== undefined ? { held: now.observed.held } : {}),
    ...(up && now?.observed.selfTest ? { selfTest: now.observed.selfTest } : {}),
    ...(held ? { lease: toLeaseView(held) } : {}),
    ...(version === undefined ? {} : { version }),
    ...(line ? { line } : {}),
    ...(container === undefined ? {} : { container }),
    ...(machine.drained === undefined ? {} : { drained: true }),
    ...(note === undefined ? {} : { note }),
    next: nextOf(state, held, now),
    ...(evidence === undefined ? {} : { evidence }),
  };
}

function toLeaseView({ lease: { id, holder, state }, session }: Held): NonNullable<MachineView['lease']> {
  const build = holder.kind === 'attempt' ? { build: holder.id.split('.')[0] ?? '' } : {};
  const lent = session ? { session: { id: session.id, alias: session.alias, owner: session.owner } } : {};
  return { id, holder: session?.alias ?? holder.id, ...build, ...lent, epoch: state.epoch, acquiredAt: state.acquiredAt };
}

function nextOf(state: MachineView['state'], lease: Held | undefined, now: WatchedMachine | undefined): string {
  if (lease?.session) return nextOfLent(now);
  if (!now) return lease ? 'loses its lease, and its build moves to another machine' : 'leaves this list';
  const { held } = now.observed;
  if (held !== undefined) return lease ? `ends its build; it ${held}` : `takes no work: it ${held}`;
  if (now.observed.draining === true) return lease ? 'leaves the farm when its build has ended' : 'leaves the farm';
  if (now.observed.updating === true) return lease ? 'is updated when its build has ended' : 'is updated, and comes back';
  if (now.observed.lowDisk === true) return 'takes no work until its disk has space again';
  if (state === 'busy') return 'goes back to the pool when its build has ended';
  if (state === 'ready') return now.observed.forSessions === true ? 'waits for somebody to borrow it' : 'takes the next build that fits';
  return lease ? 'is started again; if it stays silent its build moves to another machine' : 'is started again by its pool';
}

function nextOfLent(now: WatchedMachine | undefined): string {
  if (!now) return 'loses its lease, and its session ends';
  return now.observed.state === 'up'
    ? 'is cleaned when its session has ended, and goes back to the pool'
    : 'is started again; if it stays silent its session ends';
}

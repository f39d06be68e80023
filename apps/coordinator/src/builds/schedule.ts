/** Gives free machines to waiting sessions and builds: reads the world, lets `planAssignments` decide, and carries the plan out. */
import { planAssignments, type MachineView, type Plan, type WaitingBuild, type WaitingSession, type World } from '@croft/domain/schedule';
import type { BuilderName, MachineId } from '@croft/domain/names';
import { SECOND, type Clock } from '@croft/runtime/clock';
import type { Log } from '@croft/runtime/log';
import type { Bell } from '@croft/runtime/tasks';
import { anybodyWaits, queuedBuilds, runningBuilds } from '@croft/store/build-lists';
import { lastAttempts, medianDurationMs } from '@croft/store/attempts';
import type { Database, Sql } from '@croft/store/database';
import { leasedMachines } from '@croft/store/leases';
import { liveSessions, type Session } from '@croft/store/sessions';
import { ringOrRest } from '../keep-doing.ts';
import type { WatchedMachine } from '../machines/watch-machines.ts';
import type { Drivers } from './drive-builds.ts';
import type { Work } from './work.ts';

export interface ScheduleDeps {
  readonly db: Database;
  readonly machines: () => readonly WatchedMachine[];
  /** Builders that are configured; builds of others wait. */
  readonly builders: () => readonly { readonly name: BuilderName }[];
  readonly hold: () => string | undefined;
  readonly clock: Clock;
}

/** How many are told why they wait, for each kind of machine. */
const headLength = 200;

/** The plan for the world as it is now, with the reason of each build that waits. */
export async function planNow(deps: ScheduleDeps): Promise<Plan> {
  return planAssignments(await deps.db.read((sql) => readWorld(sql, deps)));
}

type Assignments = Pick<Plan, 'assign' | 'lend'>;
const nothing: Assignments = { assign: [], lend: [] };

/** The assignments of `planNow` alone: what cannot begin now is not read, however long the queue is. */
async function assignNow({ db, machines, builders, hold, clock }: ScheduleDeps): Promise<Assignments> {
  if (hold() !== undefined || !machines().some((machine) => machine.observed.state === 'up')) return nothing;
  const now = clock.now();
  return db.read(async (sql) => {
    // Each second, and beside what people type: most of the time nobody waits, or nothing is free, and then no more is looked at.
    if (!(await anybodyWaits(sql))) return nothing;
    const views = viewMachines(machines(), await leasedMachines(sql));
    const ready = views.filter((machine) => machine.state === 'ready');
    if (ready.length === 0) return nothing;
    const sessions = waitingSessions(await liveSessions(sql));
    const limit = ready.filter((machine) => machine.forSessions !== true).length;
    const names = builders().map(({ name }) => name);
    const waiting = limit === 0 ? [] : await queuedBuilds(sql, { limit, builders: names, restedAt: now });
    return planAssignments({ waiting, sessions, machines: views, now });
  });
}

export interface Scheduling {
  readonly bell: Bell;
  assign(assignment: Plan['assign'][number]): Promise<Work | undefined>;
  /** False when either is not free any more. */
  lend(loan: Plan['lend'][number]): Promise<boolean>;
  readonly drivers: Pick<Drivers, 'start'>;
  readonly log: Log;
}

/** At each ring, and each second for what changes by itself: plans, leases, and starts the drivers. */
export async function keepScheduling(deps: ScheduleDeps, scheduling: Scheduling, { signal }: { signal: AbortSignal }): Promise<void> {
  while (!signal.aborted) {
    try {
      await scheduleOnce(deps, scheduling);
    } catch (error) {
      signal.throwIfAborted();
      scheduling.log.error('scheduling failed, trying again', { error });
    }
    await ringOrRest(scheduling.bell, SECOND, { clock: deps.clock, signal });
  }
}

/** An assignment that fails, or meets somebody faster, keeps none of the others from being driven. */
async function scheduleOnce(deps: ScheduleDeps, { assign, lend, drivers, log }: Scheduling): Promise<void> {
  const carryOut = async (assignment: Plan['assign'][number]): Promise<void> => {
    try {
      const work = await assign(assignment);
      if (work) drivers.start(work);
    } catch (error) {
      log.error('build not assigned, trying again', { ...assignment, error });
    }
  };
  const carryOutLoan = async (loan: Plan['lend'][number]): Promise<void> => {
    try {
      await lend(loan);
    } catch (error) {
      log.error('session got no machine, trying again', { ...loan, error });
    }
  };
  const now = await assignNow(deps);
  await Promise.all([...now.lend.map(carryOutLoan), ...now.assign.map(carryOut)]);
}

async function readWorld(sql: Sql, { machines, builders, hold, clock }: ScheduleDeps): Promise<World> {
  const usualMs = recall((builder: BuilderName) => medianDurationMs(sql, builder));
  const waiting: WaitingBuild[] = [];
  for (const build of await queuedBuilds(sql, { limit: headLength, builders: builders().map(({ name }) => name) })) {
    waiting.push({ ...build, lastsMs: await usualMs(build.builder) });
  }
  const live = await liveSessions(sql);
  const ends = new Map([...(await expectedEnds(sql, usualMs)), ...expiries(live)]);
  const views = viewMachines(machines(), await leasedMachines(sql), ends);
  return { waiting, sessions: waitingSessions(live), machines: views, now: clock.now(), hold: hold() };
}

/** Those that any machine would do for, and not one for the end of whose work they wait. */
function waitingSessions(live: readonly Session[]): WaitingSession[] {
  return live.filter(({ state, from }) => state.kind === 'waiting' && from.kind !== 'held');
}

/** When machines that people have are free if nobody uses them any more. */
function expiries(live: readonly Session[]): [MachineId, number][] {
  return live.flatMap(({ state }) => (state.kind === 'active' ? [[state.machine, state.expiresAt] as [MachineId, number]] : []));
}

function viewMachines(
  machines: readonly WatchedMachine[],
  leased: ReadonlySet<MachineId>,
  ends: ReadonlyMap<MachineId, number> = new Map(),
): MachineView[] {
  return machines.map(({ observed, seenAt }): MachineView => {
    const { id, labels, cpus, memoryBytes, forSessions } = observed;
    const freeAt = ends.get(id);
    const why = whyClosed(observed);
    const closed = why === undefined ? {} : { why };
    const state = leased.has(id) ? 'busy' : observed.state === 'up' && why === undefined ? 'ready' : 'away';
    return { id, labels, cpus, memoryBytes, forSessions, state, seenAt, ...closed, ...(freeAt === undefined ? {} : { freeAt }) };
  });
}

/** Why a machine that answers is given to nobody. */
export function whyClosed({ id, draining, held, updating, lowDisk }: WatchedMachine['observed']): string | undefined {
  if (held !== undefined) return `${id} ${held}`;
  if (draining === true) return `${id} leaves the farm`;
  if (updating === true) return `${id} is about to be updated`;
  return lowDisk === true ? `${id} has too little free disk space` : undefined;
}

type UsualMs = (builder: BuilderName) => Promise<number | undefined>;

/** When each leased machine should be free: the start of its attempt and the builder's median. */
async function expectedEnds(sql: Sql, usualMs: UsualMs): Promise<Map<MachineId, number>> {
  const running = await runningBuilds(sql);
  const attempts = await lastAttempts(
    sql,
    running.map((build) => build.id),
  );
  const ends = new Map<MachineId, number>();
  for (const { machine, builder, state } of attempts.values()) {
    const median = await usualMs(builder);
    if (median !== undefined) ends.set(machine, state.startedAt + median);
  }
  return ends;
}

/** Asks once for each key. */
function recall<Key, Value>(ask: (key: Key) => Promise<Value>): (key: Key) => Promise<Value> {
  const known = new Map<Key, Promise<Value>>();
  return (key) => {
    const answer = known.get(key) ?? ask(key);
    known.set(key, answer);
    return answer;
  };
}

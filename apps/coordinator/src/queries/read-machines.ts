/**
 * Machines with what each does and does next, a part of them at a time: only what is shown is read, however many there are. Which there are is
 * what the pools watch and what the store has beside.
 */
import type { Lease, LeaseHolder } from '@croft/domain/lease';
import type { BuildId, MachineId } from '@croft/domain/names';
import type { MachineCounts, MachineList, MachineView } from '@croft/protocol/api';
import { getBuilds } from '@croft/store/build-lists';
import type { StoredBuild } from '@croft/store/builds';
import type { Sql } from '@croft/store/database';
import { heldLeases } from '@croft/store/leases';
import { getMachines, machineIds, type Machine } from '@croft/store/machines';
import { liveSessions, type Session } from '@croft/store/sessions';
import type { WatchedMachine } from '../machines/watch-machines.ts';

export interface MachineFilter {
  /** Words that all stand in its name, pool, host type, labels or the host that it dials in from. */
  readonly find?: string | undefined;
  readonly state?: MachineView['state'] | undefined;
  readonly limit: number;
  /** The last one that was shown. */
  readonly after?: string | undefined;
  /** So many are passed over. */
  readonly skip?: number | undefined;
}

/** By name, with numbers in the order of numbers. */
export async function readMachines(sql: Sql, watched: readonly WatchedMachine[], filter: MachineFilter): Promise<MachineList> {
  const places = await placesOf(sql, watched);
  const counts = countStates(places);
  const found = (await matching(sql, places, filter)).map((place) => ({ place, key: sortKey(place.id) })).toSorted(byKey);
  const { limit, after, skip = 0 } = filter;
  const from =
    after === undefined ? skip : found.findIndex((one) => byKey(one, { place: { id: after as MachineId }, key: sortKey(after) }) > 0);
  const shown = from < 0 ? [] : found.slice(from, from + limit).map(({ place }) => place);
  const last = from < 0 || from + limit >= found.length ? undefined : shown.at(-1);
  return { machines: await viewsOf(sql, shown), found: found.length, counts, ...(last ? { next: last.id } : {}) };
}

/** How many machines are in each state, by their ids alone. */
export async function countMachines(sql: Sql, watched: readonly WatchedMachine[]): Promise<MachineCounts> {
  return countStates(await placesOf(sql, watched));
}

/** Machines of the same labels, how many there are and how many of them would take work now. */
export interface MachineKind {
  readonly labels: readonly string[];
  readonly all: number;
  readonly free: number;
}

/** Of those that pools watch. */
export async function machineKinds(sql: Sql, watched: readonly WatchedMachine[]): Promise<MachineKind[]> {
  const kinds = new Map<string, { labels: readonly string[]; all: number; free: number }>();
  for (const { state, now } of await placesOf(sql, watched)) {
    if (!now) continue;
    const { labels, held } = now.observed;
    const key = labels.join(' ');
    const kind = kinds.get(key) ?? { labels, all: 0, free: 0 };
    kind.all += 1;
    kind.free += state === 'ready' && held === undefined ? 1 : 0;
    kinds.set(key, kind);
  }
  return [...kinds.values()];
}

/** A machine before it is read. */
interface Place {
  readonly id: MachineId;
  readonly state: MachineView['state'];
  readonly now: WatchedMachine | undefined;
  readonly lease: Lease | undefined;
}

async function placesOf(sql: Sql, watched: readonly WatchedMachine[]): Promise<Place[]> {
  const seen = new Map(watched.map((machine) => [machine.observed.id, machine]));
  const leases = new Map((await heldLeases(sql)).map((lease) => [lease.machine, lease]));
  const ids = new Set([...(await machineIds(sql)), ...seen.keys()]);
  return Array.from(ids, (id) => {
    const [now, lease] = [seen.get(id), leases.get(id)];
    return { id, now, lease, state: now?.observed.state !== 'up' ? 'away' : lease ? 'busy' : 'ready' };
  });
}

function countStates(places: readonly Place[]): MachineCounts {
  const counts = { ready: 0, busy: 0, away: 0, gone: 0 };
  for (const { state } of places) counts[state] += 1;
  const { gone: _, ...here } = counts;
  return here;
}

async function matching(sql: Sql, places: readonly Place[], { find = '', state }: MachineFilter): Promise<readonly Place[]> {
  const words = find.toLowerCase().split(/\s+/).filter(Boolean);
  const stands = state === undefined ? places : places.filter((place) => place.state === state);
  if (words.length === 0) return stands;
  const unwatched = new Map((await getMachines(sql, idsOf(stands.filter(({ now }) => !now)))).map((machine) => [machine.id, machine]));
  return stands.filter(({ id, now }) => {
    const { pool, hostType, labels } = now
      ? { ...now.observed, pool: now.pool }
      : (unwatched.get(id) ?? { pool: '', hostType: '', labels: [] });
    const text = [id, pool, hostType, ...labels, now?.observed.line?.host ?? ''].join(' ').toLowerCase();
    return words.every((word) => text.includes(word));
  });
}

/** Numbers of any length, up to 16 digits, compare as numbers. */
function sortKey(id: string): string {
  return id.replace(/\d+/g, (digits) => digits.padStart(16, '0'));
}

interface Sorted {
  readonly place: Pick<Place, 'id'>;
  readonly key: string;
}

function byKey(a: Sorted, b: Sorted): number {
  if (a.key !== b.key) return a.key < b.key ? -1 : 1;
  return a.place.id < b.place.id ? -1 : Number(a.place.id > b.place.id);
}

function idsOf(places: readonly Place[]): MachineId[] {
  return places.map(({ id }) => id);
}

async function viewsOf(sql: Sql, places: readonly Place[]): Promise<MachineView[]> {
  const stored = new Map((await getMachines(sql, idsOf(places))).map((machine) => [machine.id, machine]));
  const lent = places.some(({ lease }) => lease?.holder.kind === 'session') ? await liveSessions(sql) : [];
  const sessions = new Map(lent.map((session) => [session.id as string, session]));
  const ids = places.flatMap(({ lease }) => (lease ? (buildOf(lease.holder) ?? []) : []));
  const builds = new Map((await getBuilds(sql, ids)).map((build) => [build.id, build]));
  return places.flatMap(({ id, lease, now }) => {
    const of = lease && buildOf(lease.holder);
    const held = lease && { lease, session: sessions.get(lease.holder.id), build: of && builds.get(of) };
    const machine = stored.get(id) ?? (now && neverUp(now));
    return machine ? [toMachineView(machine, held, now)] : [];
  });
}

function buildOf({ kind, id }: LeaseHolder): BuildId | undefined {
  return kind === 'attempt' ? (id.split('.')[0] as BuildId) : undefined;
}

/** Its pool tries, and says what is in the way. */
function neverUp({ observed: { id, hostType, labels }, pool, seenAt }: WatchedMachine): ShownMachine {
  return { id, pool, hostType, labels, createdAt: seenAt, epoch: 0, seenAt, evidence: undefined, drained: undefined };
}

/** A lease, with the session or the build that it is for. */
interface Held {
  readonly lease: Lease;
  readonly session: Session | undefined;
  readonly build: StoredBuild | undefined;
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
    ...(now?.observed.forSessions === true ? { forSessions: true } : {}),
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

function toLeaseView({ lease: { id, holder, state }, session, build }: Held): NonNullable<MachineView['lease']> {
  const of = buildOf(holder);
  const work = {
    ...(of === undefined ? {} : { build: of }),
    ...(build ? { builder: build.builder, repo: build.repo, revision: build.revision } : {}),
  };
  const lent = session ? { session: { id: session.id, alias: session.alias, owner: session.owner } } : {};
  return { id, holder: session?.alias ?? holder.id, ...work, ...lent, epoch: state.epoch, acquiredAt: state.acquiredAt };
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

/**
 * Knows every machine of every pool: reconciles the pools, notes who answers, and declares lost who has been silent too long. It
 * does not know what kind of machine any of them is.
 */
import type { Buildlet } from '@croft/buildlet/client';
import type { MachineId } from '@croft/domain/names';
import { isLost, liveness } from '@croft/domain/lease';
import type { Observed, Pool } from '@croft/fleet/pool';
import type { Trouble } from '@croft/protocol/api';
import { MINUTE, SECOND, type Clock, type Waits } from '@croft/runtime/clock';
import { CroftError, errorText } from '@croft/runtime/errors';
import type { Log } from '@croft/runtime/log';
import { createBell } from '@croft/runtime/tasks';
import { ringOrRest } from '../keep-doing.ts';
import { connect, createWatchOnce, toldStrays } from './among-pools.ts';
import { createReturn, hasDialledIn, heardOut, type Return } from './silence.ts';

export interface WatchedMachine {
  readonly observed: Observed;
  readonly pool: string;
  /** Epoch ms of the last answer, also to an earlier process; now when there was none yet. */
  readonly seenAt: number;
}

export interface MachineEvents {
  /** It answers, for the first time, after its buildlet was started anew, or still, each minute. Only then is it in the list. */
  onUp(pool: string, observed: Observed): Promise<void>;
  onAway(observed: Observed): Promise<void>;
  /** What earlier processes heard of it, epoch ms. */
  lastSeenAt(machine: MachineId): Promise<number | undefined>;
  /** Ends what it was leased for. */
  onLost(machine: MachineId, evidence: string): Promise<void>;
  /** Why it takes no new work, as far as it tells itself; one that answers. */
  whyHeld(observed: Observed): string | undefined;
  /** Whether somebody works on it. */
  isLeased(machine: MachineId): Promise<boolean>;
  /** Something that schedules should look at has changed. */
  onChange(): void;
}

export interface Machines {
  list(): readonly WatchedMachine[];
  /** Pools that could not be looked at, the last time. */
  troubles(): readonly Trouble[];
  /** True once each pool has told its machines: what is not in the list then does not exist. */
  surveyed(): boolean;
  /** @throws CroftError `unavailable` for a machine of no pool. */
  connect(id: MachineId): Buildlet;
  /** The same for work: a machine that is for one build gets no other. */
  employ(id: MachineId): Buildlet;
  /** Somebody's work on it has ended. */
  release(id: MachineId): void;
  /** Look at the machines now instead of at the next ping. */
  look(): void;
  /** Keeps new work from a machine, saying why; `undefined` gives it work again. */
  hold(id: MachineId, why: string | undefined): void;
  /** Declares it lost now, as if it had been silent for too long. @throws CroftError `not-found` for a machine of no pool */
  lose(id: MachineId, evidence: string, waits: Waits): Promise<void>;
  /** One look at all of them. A pool that cannot be looked at is reported and does not keep the others. */
  check(waits: Waits): Promise<void>;
  run(waits: { signal: AbortSignal }): Promise<void>;
}

interface Known {
  readonly pool: Pool;
  /** As the pool tells it. */
  readonly told: Observed;
  /** With what this farm adds. */
  readonly observed: Observed;
  seenAt: number;
  /** Monotonic ms at which this process first asked for it. */
  readonly askingSince: number;
  /** Monotonic ms of the last look. */
  lookedAt: number;
  /** How long it has been silent, ms, as far as this process was there to hear. */
  silentMs: number;
  readonly reported: string;
  /** Monotonic ms of the last report. */
  readonly reportedAt: number;
}

/** `pools`: those that there are at the moment. */
export function watchMachines(pools: () => readonly Pool[], events: MachineEvents, { clock, log }: { clock: Clock; log: Log }): Machines {
  const bell = createBell();
  const watch: Watch = { events, clock, log, known: new Map(), held: new Map(), used: new Map(), returns: new WeakMap(), look: bell.ring };
  const { known } = watch;
  const told = new WeakSet<Pool>();
  const troubles = new Map<Pool, Trouble>();
  let strays: readonly Trouble[] = [];
  let failed = false;
  const check = async (waits: Waits): Promise<void> => {
    failed = false;
    const look = async (pool: Pool): Promise<void> => {
      try {
        await checkPool(watch, pool, waits);
        told.add(pool);
        troubles.delete(pool);
      } catch (error) {
        if (waits.signal?.aborted) return;
        failed = true;
        log.error('pool not reconciled', { pool: pool.name, error });
        const text = `its machines cannot be looked at: ${errorText(error)}`;
        troubles.set(pool, { what: `pool ${pool.name}`, text, since: troubles.get(pool)?.since ?? clock.now() });
        withdraw(watch, pool, text);
      }
    };
    const present = pools();
    for (const pool of present) watchOnce(pool);
    await Promise.all(present.map(look));
    for (const [id, { pool }] of known) if (!present.includes(pool)) known.delete(id);
    for (const pool of troubles.keys()) if (!present.includes(pool)) troubles.delete(pool);
    strays = toldStrays(present, strays, clock.now());
    waits.signal?.throwIfAborted();
  };
  const watchOnce = createWatchOnce(() => bell.ring());
  const pause = (): number => {
    if (failed) return SECOND;
    if (known.size === 0 && !pools().some(({ watch: tells }) => tells)) return soonMs;
    return known.values().every(isSettled) ? liveness.pingMs : soonMs;
  };
  return {
    list: () => [...known.values()].map(({ observed, pool, seenAt }) => ({ observed, pool: pool.name, seenAt })),
    troubles: () => [...troubles.values(), ...strays],
    surveyed: () => pools().every((pool) => told.has(pool)),
    connect: (id) => connect(pools(), id),
    employ: (id) => connect(pools(), use(watch, id)),
    release: (id) => void (known.get(id)?.told.oneBuild === true && bell.ring()),
    look: () => bell.ring(),
    hold: (id, why) => hold(watch, id, why),
    lose: (id, evidence, waits) => lose(watch, id, evidence, waits),
    check,
    async run({ signal }) {
      while (!signal.aborted) {
        await check({ signal });
        await ringOrRest(bell, pause(), { clock, signal });
      }
    },
  };
}

/** Until the next look while something is starting or down, so that work begins the moment a machine is there, ms. */
const soonMs = 100;

/** Nothing is to be seen by asking again soon: all is well, or its pool tells by itself. */
function isSettled({ pool, observed }: Known): boolean {
  return pool.watch !== undefined || (observed.state === 'up' && observed.draining !== true && observed.selfTest?.at !== 0);
}

interface Watch {
  readonly events: MachineEvents;
  readonly clock: Clock;
  readonly log: Log;
  readonly known: Map<MachineId, Known>;
  /** Machines that this farm gives no work to, and why. */
  readonly held: Map<MachineId, string>;
  /** Machines for one build that somebody was given, with their boot then. */
  readonly used: Map<MachineId, string | undefined>;
  readonly returns: WeakMap<Pool, Return>;
  /** Another look as soon as this one is done. */
  look(): void;
}

async function checkPool(watch: Watch, pool: Pool, waits: Waits): Promise<void> {
  const { known, events } = watch;
  const observed = await pool.reconcile({
    ...waits,
    isLeased: (id) => events.isLeased(id),
    isUsed: (id, boot) => boot !== undefined && watch.used.get(id) === boot,
  });
  const ids = new Set(observed.map(({ id }) => id));
  const changed = observed.filter((one) => !noteAgain(watch, pool, one));
  for (const piece of chunks(changed, notedAtOnce)) await Promise.all(piece.map((one) => note(watch, pool, one)));
  for (const [id, entry] of known) {
    if (entry.pool === pool && !ids.has(id)) known.delete(id);
  }
  const coming = watch.returns.getOrInsertComputed(pool, createReturn);
  coming.look(observed, watch.clock.monotonic());
  let lost = 0;
  for (const [id, entry] of known) {
    if (entry.pool !== pool || coming.awaits(id) || !isGivenUp(watch, entry)) continue;
    await lose(watch, id, entry.observed.evidence ?? 'it did not answer', waits);
    // The rest after another look: who has come back meanwhile is not lost.
    if ((lost += 1) >= lostAtOnce) return watch.look();
  }
}

const lostAtOnce = 50;

/** Writes that wait together cost little more than one. */
const notedAtOnce = 500;

function* chunks<T>(all: readonly T[], size: number): Generator<readonly T[]> {
  for (let from = 0; from < all.length; from += size) yield all.slice(from, from + size);
}

function hold(watch: Watch, id: MachineId, why: string | undefined): void {
  if (why === undefined) watch.held.delete(id);
  else watch.held.set(id, why);
  const entry = watch.known.get(id);
  if (entry) watch.known.set(id, { ...entry, observed: withHold(watch, entry.told) });
  watch.events.onChange();
}

/** It counts for the machine as it is now, or as it comes back when it does not answer now. */
function use(watch: Watch, id: MachineId): MachineId {
  const entry = watch.known.get(id);
  if (entry?.told.oneBuild !== true) return id;
  watch.used.set(id, entry.told.boot);
  watch.known.set(id, { ...entry, observed: withHold(watch, entry.told) });
  return id;
}

/** What operators say comes first, what the machine says last. The same object as before where nothing has changed. */
function withHold({ held, used, events }: Watch, told: Observed, before?: Observed): Observed {
  const { id, boot, oneBuild, state } = told;
  if (oneBuild === true && used.has(id)) used.set(id, used.get(id) ?? boot);
  const isUsed = oneBuild === true && used.has(id) && used.get(id) === boot;
  const own = state === 'up' ? events.whyHeld(told) : undefined;
  const why = held.get(id) ?? (isUsed ? 'is made anew for the next build' : own);
  if (before && before.held === why) return before;
  return why === undefined ? told : { ...told, held: why };
}

/** True when nothing is new: most machines, most of the time, so it must cost next to nothing. */
function noteAgain(watch: Watch, pool: Pool, told: Observed): boolean {
  const { known, clock } = watch;
  const before = known.get(told.id);
  if (before?.told !== told || before.pool !== pool || withHold(watch, told, before.observed) !== before.observed) return false;
  const now = clock.monotonic();
  const up = told.state === 'up';
  if (up && now - before.reportedAt >= MINUTE) return false;
  if (up) before.seenAt = clock.now();
  before.silentMs = up ? 0 : before.silentMs + heardOut(now - before.lookedAt);
  before.lookedAt = now;
  return true;
}

/** It is known only once that is stored: a machine without a row cannot be leased. */
async function note(watch: Watch, pool: Pool, told: Observed): Promise<void> {
  const { known, clock, events } = watch;
  const before = known.get(told.id);
  const observed = withHold(watch, told, before?.told === told ? before.observed : undefined);
  const up = observed.state === 'up';
  const { state, boot, hostType, labels, draining, updating, held } = observed;
  const isSame = before?.observed === observed;
  const reported = isSame ? before.reported : JSON.stringify([state, boot, hostType, labels, draining, updating, held]);
  const lookedAt = clock.monotonic();
  const isNew = reported !== before?.reported;
  const isDue = isNew || (up && lookedAt - before.reportedAt >= MINUTE);
  if (isDue) await (up ? events.onUp(pool.name, observed) : events.onAway(observed));
  const seenAt = up ? clock.now() : (before?.seenAt ?? (await events.lastSeenAt(observed.id)) ?? clock.now());
  known.set(observed.id, {
    pool,
    told,
    observed,
    seenAt,
    askingSince: before?.askingSince ?? lookedAt,
    lookedAt,
    silentMs: up || !before || hasDialledIn(before.observed, observed) ? 0 : before.silentMs + heardOut(lookedAt - before.lookedAt),
    reported,
    reportedAt: isDue ? lookedAt : before.reportedAt,
  });
  if (isNew) events.onChange();
}

/** Nobody can say how its machines are: they get no new work, and what runs on them goes on. None is lost by it. */
function withdraw(watch: Watch, pool: Pool, evidence: string): void {
  const { known, events } = watch;
  for (const [id, entry] of known) {
    if (entry.pool !== pool) continue;
    const told: Observed = { ...entry.told, state: 'silent', evidence };
    known.set(id, { ...entry, told, observed: withHold(watch, told), lookedAt: watch.clock.monotonic() });
  }
  events.onChange();
}

/** Its pool knows how long that may take: to start it once more would take a slow computer longer. One that dialled in has started before. */
function isStarting({ state, line }: Observed): boolean {
  return state === 'starting' && line === undefined;
}

function isGivenUp({ clock }: Watch, { observed, silentMs, askingSince }: Known): boolean {
  if (observed.state === 'up' || isStarting(observed)) return false;
  const now = clock.monotonic();
  return isLost({ lastAt: now - silentMs, askingSince }, now);
}

async function lose({ known, clock, log, events }: Watch, id: MachineId, evidence: string, waits: Waits): Promise<void> {
  const entry = known.get(id);
  if (!entry) throw new CroftError('not-found', `machine ${id} belongs to no pool`);
  log.warn('machine lost', { machine: id, evidence });
  await events.onLost(id, evidence);
  await entry.pool.replace(id, evidence, waits);
  known.set(id, { ...entry, silentMs: 0, lookedAt: clock.monotonic() });
  events.onChange();
}

/**
 * Knows every machine of every pool: reconciles the pools, notes who answers, and declares lost who has been silent too long. It
 * does not know what kind of machine any of them is.
 */
import type { Buildlet } from '@croft/buildlet/client';
import type { MachineId } from '@croft/domain/names';
import { isLost, liveness } from '@croft/domain/lease';
import type { Observed, Pool } from '@croft/fleet/pool';
import { anySignal, type Clock, type Waits } from '@croft/runtime/clock';
import { CroftError, isCode } from '@croft/runtime/errors';
import type { Log } from '@croft/runtime/log';
import { createBell } from '@croft/runtime/tasks';

export interface WatchedMachine {
  readonly observed: Observed;
  readonly pool: string;
  /** Epoch ms of the last answer; the start of this process when there was none yet. */
  readonly seenAt: number;
}

export interface MachineEvents {
  /** The machine answers, for the first time or after its buildlet was started anew. */
  onUp(pool: string, observed: Observed): Promise<void>;
  onAway(observed: Observed): Promise<void>;
  /** Ends what it was leased for. */
  onLost(machine: MachineId, evidence: string): Promise<void>;
  /** Something that schedules should look at has changed. */
  onChange(): void;
}

export interface Machines {
  list(): readonly WatchedMachine[];
  /** @throws CroftError `unavailable` for a machine of no pool. */
  connect(id: MachineId): Buildlet;
  /** Look at the machines now instead of at the next ping. */
  look(): void;
  /** One look at all of them. */
  check(waits: Waits): Promise<void>;
  run(waits: { signal: AbortSignal }): Promise<void>;
}

interface Known {
  pool: Pool;
  observed: Observed;
  seenAt: number;
  /** Monotonic ms at which this process first asked for it. */
  askingSince: number;
  /** Monotonic ms; undefined when it has not answered since then. */
  heardAt: number | undefined;
  reported: string;
}

export function watchMachines(pools: readonly Pool[], events: MachineEvents, { clock, log }: { clock: Clock; log: Log }): Machines {
  const watch: Watch = { pools, events, clock, log, known: new Map() };
  const { known } = watch;
  const bell = createBell();
  const check = async (waits: Waits): Promise<void> => {
    const results = await Promise.allSettled(pools.map((pool) => checkPool(watch, pool, waits)));
    waits.signal?.throwIfAborted();
    for (const result of results) if (result.status === 'rejected') log.error('pool not reconciled', { error: result.reason });
  };
  /** Soon again while something is starting or down, so that work begins the moment a machine is there. */
  const pause = (): number => {
    const all = [...known.values()];
    return all.length > 0 && all.every((entry) => entry.observed.state === 'up') ? liveness.pingMs : soonMs;
  };
  return {
    list: () => [...known.values()].map(({ observed, pool, seenAt }) => ({ observed, pool: pool.name, seenAt })),
    connect: (id) => connect(pools, id),
    look: () => bell.ring(),
    check,
    async run({ signal }) {
      while (!signal.aborted) {
        await check({ signal });
        const rest = new AbortController();
        const waits = { signal: anySignal(signal, rest.signal) };
        await Promise.race([bell.wait(waits), clock.sleep(pause(), waits)]).finally(() => rest.abort(new CroftError('stopped', 'woken')));
      }
    },
  };
}

const soonMs = 100;

interface Watch {
  readonly pools: readonly Pool[];
  readonly events: MachineEvents;
  readonly clock: Clock;
  readonly log: Log;
  readonly known: Map<MachineId, Known>;
}

async function checkPool(watch: Watch, pool: Pool, waits: Waits): Promise<void> {
  const { known } = watch;
  const observed = await pool.reconcile(waits);
  for (const one of observed) await note(watch, pool, one);
  for (const [id, entry] of known) {
    if (entry.pool === pool && !observed.some((one) => one.id === id)) known.delete(id);
  }
  for (const [id, entry] of known) if (entry.pool === pool) await giveUp(watch, id, entry, waits);
}

async function note({ known, clock, events }: Watch, pool: Pool, observed: Observed): Promise<void> {
  const before = known.get(observed.id);
  const up = observed.state === 'up';
  const entry: Known = {
    pool,
    observed,
    seenAt: up ? clock.now() : (before?.seenAt ?? clock.now()),
    askingSince: before?.askingSince ?? clock.monotonic(),
    heardAt: up ? clock.monotonic() : before?.heardAt,
    reported: `${observed.state} ${observed.boot ?? ''}`,
  };
  known.set(observed.id, entry);
  if (entry.reported === before?.reported) return;
  await (up ? events.onUp(pool.name, observed) : events.onAway(observed));
  events.onChange();
}

async function giveUp({ clock, log, events }: Watch, id: MachineId, entry: Known, waits: Waits): Promise<void> {
  const { observed, heardAt, askingSince, pool } = entry;
  if (observed.state === 'up' || !isLost({ lastAt: heardAt, askingSince }, clock.monotonic())) return;
  const evidence = observed.evidence ?? 'it did not answer';
  log.warn('machine lost', { machine: id, evidence });
  await events.onLost(id, evidence);
  await pool.replace(id, evidence, waits);
  entry.heardAt = clock.monotonic();
  events.onChange();
}

function connect(pools: readonly Pool[], id: MachineId): Buildlet {
  for (const pool of pools) {
    try {
      return pool.connect(id);
    } catch (error) {
      if (!isCode(error, 'not-found')) throw error;
    }
  }
  throw new CroftError('unavailable', `machine ${id} belongs to no pool`);
}

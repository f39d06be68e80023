/** The machine watch over the store: what it tells of machines is noted there. */
import type { MachineId } from '@croft/domain/names';
import type { Observed, Pool } from '@croft/fleet/pool';
import type { Farm } from '@croft/protocol/api';
import type { Clock } from '@croft/runtime/clock';
import type { Log } from '@croft/runtime/log';
import type { Database, Work } from '@croft/store/database';
import { leaseOfMachine } from '@croft/store/leases';
import { getMachine, listMachines, markMachine, upsertMachine } from '@croft/store/machines';
import { watchMachines, type Machines } from './watch-machines.ts';

export interface MachineParts {
  readonly db: Database;
  /** Those that there are at the moment. */
  readonly pools: () => readonly Pool[];
  readonly clock: Clock;
  readonly log: Log;
}

/** What pools whose machines dial in say of those that should be there. */
export function shortfalls(pools: readonly Pool[]): Farm['dialIn'] {
  return pools.flatMap((pool) => {
    const shortfall = pool.shortfall?.();
    return shortfall ? [{ pool: pool.name, ...shortfall, missing: [...shortfall.missing] }] : [];
  });
}

/** Those of a pool that were not given up. */
export function knownMachines(db: Pick<Database, 'read'>): (pool: string) => Promise<readonly MachineId[]> {
  return async (pool) => (await db.read(listMachines)).filter((machine) => machine.pool === pool).map(({ id }) => id);
}

export interface MachineHandlers {
  wake(): void;
  onLost(machine: MachineId, evidence: string): Promise<void>;
  whyHeld(observed: Observed): string | undefined;
}

export function createMachines({ db, pools, clock, log }: MachineParts, { wake, onLost, whyHeld }: MachineHandlers): Machines {
  const read = together<number | undefined>((work) => db.read(work));
  const write = together<void>((work) => db.write(work));
  return watchMachines(
    pools,
    {
      onUp: (pool, { id, hostType, labels, boot }) =>
        write((sql) => upsertMachine(sql, { id, pool, hostType, labels, boot, address: null, at: clock.now() })),
      onAway: ({ id, state, evidence = state }) => write((sql) => markMachine(sql, id, { state: 'away', at: clock.now(), evidence })),
      lastSeenAt: (id) => read(async (sql) => (await getMachine(sql, id))?.seenAt),
      onLost,
      whyHeld,
      // A write, so that it comes after whatever is giving the machine out at this moment.
      isLeased: (id) => db.write(async (sql) => (await leaseOfMachine(sql, id)) !== undefined),
      onChange: wake,
    },
    { clock, log },
  );
}

/** Work that is asked for in one turn, as one transaction: thousands of machines that come back at once are noted so. */
function together<T>(run: (work: Work<T[]>) => Promise<T[]>): (work: Work<T>) => Promise<T> {
  let waiting: Work<T>[] = [];
  let done: Promise<T[]> | undefined;
  const runAll = async (): Promise<T[]> => {
    await Promise.resolve();
    const works = waiting;
    waiting = [];
    done = undefined;
    return run(async (sql) => {
      const results: T[] = [];
      for (const work of works) results.push(await work(sql));
      return results;
    });
  };
  return async (work) => {
    const at = waiting.push(work) - 1;
    done ??= runAll();
    return (await done)[at] as T;
  };
}

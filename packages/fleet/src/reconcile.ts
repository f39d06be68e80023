/**
 * One look at the machines of a pool and what follows from it, the same for every pool that makes its machines: what is declared
 * comes, what is not drains and goes, and a machine that cannot be looked at, started or removed keeps none of the others.
 */
import type { MachineId } from '@croft/domain/names';
import type { Waits } from '@croft/runtime/clock';
import type { MachineNames } from './machine-names.ts';
import { planFleet, type FleetAction } from './plan-fleet.ts';
import type { Observed, Reconciling } from './pool.ts';

/** What makes machines of one kind. */
export interface Maker {
  readonly names: MachineNames;
  /** What there is, declared or not. A failure is that of the whole look. */
  present(waits: Waits): Promise<readonly MachineId[]>;
  observe(id: MachineId, waits: Waits): Promise<Observed>;
  /** Starts it over what it left behind, if it was there before. */
  start(id: MachineId, waits: Waits): Promise<void>;
  /** Ends it and removes what it left behind. */
  remove(id: MachineId, waits: Waits): Promise<void>;
  /** Why another shall take its place as soon as nobody works on it. */
  worn?(machine: Observed): string | undefined;
  /** What is told of a machine with which one of these failed. */
  broken(id: MachineId, error: unknown): Observed;
}

export type Reconcile = (maker: Maker, waits: Reconciling) => Promise<readonly Observed[]>;

/** To be called by one at a time. */
export function createReconcile(): Reconcile {
  /** Machines of which whoever gives out machines knows that they are to go: they do when they are not leased. */
  let leaving: ReadonlySet<MachineId> = new Set();
  return async (maker, { isLeased = async () => false, isUsed: _, ...waits }) => {
    const { all: declared, forSessions } = maker.names;
    const known = [...new Set([...declared, ...(await maker.present(waits))])];
    const contain = async <T>(id: MachineId, act: () => Promise<T>): Promise<T | Observed> => {
      try {
        return await act();
      } catch (error) {
        waits.signal?.throwIfAborted();
        return maker.broken(id, error);
      }
    };
    const seen = await allOf(known.map((id) => contain(id, () => maker.observe(id, waits))));
    const after = new Map(seen.map((machine) => [machine.id, machine]));
    const act = async ({ kind, id }: FleetAction): Promise<void> => {
      const failed = await contain(id, () => (kind === 'start' ? maker.start(id, waits) : maker.remove(id, waits)));
      if (failed) after.set(id, failed);
    };
    const undeclared = known.filter((id) => !declared.includes(id));
    const leased = await Promise.all(undeclared.map(async (id) => !leaving.has(id) || (await isLeased(id))));
    const draining = new Map<MachineId, string | undefined>(undeclared.filter((_, at) => leased[at]).map((id) => [id, undefined]));
    const remade: MachineId[] = [];
    for (const machine of seen.filter(({ id }) => declared.includes(id))) {
      const held = maker.worn?.(machine);
      if (held === undefined || (await isLeased(machine.id))) continue;
      if (leaving.has(machine.id)) remade.push(machine.id);
      else draining.set(machine.id, held);
    }
    leaving = new Set(draining.keys());
    await allOf(planFleet([...declared.filter((id) => !remade.includes(id)), ...draining.keys()], seen).map(act));
    await allOf(remade.map((id) => act({ kind: 'start', id })));
    return [...after.values()]
      .filter(({ id }) => declared.includes(id) || draining.has(id))
      .map((machine) => (forSessions.has(machine.id) ? { ...machine, forSessions: true } : machine))
      .map((machine) => (draining.has(machine.id) ? { ...machine, draining: true, held: draining.get(machine.id) } : machine))
      .map((machine) => (remade.includes(machine.id) ? asStarting(machine) : machine));
  };
}

function asStarting({ id, hostType, labels, state, evidence }: Observed): Observed {
  if (state !== 'up') return { id, hostType, labels, state, evidence };
  return { id, hostType, labels, state: 'starting', evidence: 'it was made anew' };
}

/** When one of them fails the others are waited for, too: nothing of a turn goes on after it. */
async function allOf<T>(work: readonly Promise<T>[]): Promise<T[]> {
  await Promise.allSettled(work);
  return Promise.all(work);
}

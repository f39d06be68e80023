/** What operators do to a machine: take it out of work, give it back, and declare it lost before the watch does. */
import type { MachineId } from '@croft/domain/names';
import type { Drained } from '@croft/protocol/machines';
import { drainedSchema } from '@croft/protocol/machines';
import type { Clock, Waits } from '@croft/runtime/clock';
import type { Database } from '@croft/store/database';
import { drainedMachines, drainMachine } from '@croft/store/machines';
import type { Machines } from './watch-machines.ts';

export interface MachineState {
  readonly id: string;
  readonly drained?: Drained | undefined;
}

export interface MachineCare {
  /** It ends what it does and gets nothing new, also after a restart. @throws CroftError `not-found` */
  drain(id: MachineId, by: string, why: string): Promise<MachineState>;
  /** @throws CroftError `not-found` */
  undrain(id: MachineId): Promise<MachineState>;
  /** What it does runs elsewhere; it begins anew when it comes back. @throws CroftError `not-found` for one that no pool has */
  lose(id: MachineId, asked: { readonly by: string; readonly why: string }, waits: Waits): Promise<MachineState>;
}

export interface MachineCareDeps {
  readonly db: Database;
  readonly machines: Pick<Machines, 'hold' | 'lose'>;
  readonly clock: Clock;
}

export function createMachineCare({ db, machines, clock }: MachineCareDeps): MachineCare {
  return {
    async drain(id, by, why) {
      const drained = { by, why, at: clock.now() };
      await db.write((sql) => drainMachine(sql, id, drained));
      machines.hold(id, textOf(drained));
      return { id, drained };
    },
    async undrain(id) {
      await db.write((sql) => drainMachine(sql, id, undefined));
      machines.hold(id, undefined);
      return { id };
    },
    async lose(id, { by, why }, waits) {
      await machines.lose(id, `declared lost by ${by}: ${why}`, waits);
      return { id };
    },
  };
}

/** What was taken out of work before this process stays out. */
export async function holdDrained({ db, machines }: Pick<MachineCareDeps, 'db' | 'machines'>): Promise<void> {
  for (const { id, drained } of await db.read(drainedMachines)) machines.hold(id, textOf(drainedSchema.parse(drained)));
}

function textOf({ by, why }: Drained): string {
  return `was taken out of work by ${by}: ${why}`;
}

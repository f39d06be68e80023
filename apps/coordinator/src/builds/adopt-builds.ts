/** Running attempts without a driver: taken over at the start, given up when their machine is lost or the farm ends. */
import { liveness } from '@croft/domain/lease';
import type { Builder } from '@croft/domain/job';
import type { MachineId } from '@croft/domain/names';
import type { AttemptEnd } from '@croft/domain/outcome';
import type { Clock } from '@croft/runtime/clock';
import type { Log } from '@croft/runtime/log';
import type { Database } from '@croft/store/database';
import { heldLeases } from '@croft/store/leases';
import type { AttemptLogs } from '../logs/attempt-logs.ts';
import type { Machines } from '../machines/watch-machines.ts';
import type { Drivers } from './drive-builds.ts';
import type { Records } from './records.ts';
import type { Work } from './work.ts';

export interface Adoption {
  /** Drives every running attempt that has no driver here, under a new epoch. */
  adopt(): Promise<void>;
  giveUpMachine(machine: MachineId, evidence: string): Promise<void>;
  /** The farm ends: every attempt that runs ends with it and its build queues again. */
  giveUpAll(): Promise<void>;
  /** Whatever was left over: leases on machines that no pool has any more are given up, attempts without a driver get one. */
  keepSweeping(waits: { signal: AbortSignal }): Promise<void>;
}

export interface AdoptionDeps {
  readonly db: Database;
  readonly records: Records;
  readonly logs: AttemptLogs;
  readonly drivers: Drivers;
  readonly builders: readonly Builder[];
  readonly machines: Machines;
  readonly clock: Clock;
  readonly log: Log;
}

export function createAdoption({ db, records, logs, drivers, builders, machines, clock, log }: AdoptionDeps): Adoption {
  const giveUp = async (work: Work, end: AttemptEnd): Promise<void> => {
    await drivers.drop(work.build, 'the attempt is given up');
    await using stored = await logs.resume(work, await records.logBytes(work));
    await records.giveUp(work, end, await stored.complete());
    log.warn('attempt given up', { build: work.build, attempt: work.attempt, end });
  };
  const giveUpMachine = async (machine: MachineId, evidence: string): Promise<void> => {
    const work = await records.workOn(machine);
    if (work) await giveUp(work, { kind: 'infra', cause: 'machine-lost', evidence });
  };
  const adopt = async (): Promise<void> => {
    const driven = new Set(drivers.list().map((work) => `${work.build}.${work.attempt}`));
    for (const { id, builder, state } of await records.running()) {
      const work = driven.has(`${id}.${state.attempts}`) ? undefined : await records.takeOver(id);
      if (!work) continue;
      log.info('attempt taken over', { build: id, attempt: work.attempt, epoch: work.lease.epoch });
      if (builders.some((candidate) => candidate.name === builder)) drivers.start(work);
      else await giveUp(work, { kind: 'cancelled', by: 'croft', why: `builder ${builder} is not configured any more` });
    }
  };
  return {
    adopt,
    giveUpMachine,
    async giveUpAll() {
      const end = { kind: 'infra', cause: 'farm-stopped', evidence: 'the farm was stopped by its operator' } as const;
      await Promise.all(drivers.list().map((work) => giveUp(work, end)));
    },
    async keepSweeping(waits) {
      for (;;) {
        await clock.sleep(liveness.graceMs, waits);
        const known = new Set(machines.list().map((machine) => machine.observed.id));
        for (const { machine } of await db.read(heldLeases)) {
          if (!known.has(machine)) await giveUpMachine(machine, 'no pool has this machine any more');
        }
        await adopt();
      }
    },
  };
}

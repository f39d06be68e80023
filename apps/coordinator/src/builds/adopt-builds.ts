/** Running attempts without a driver: taken over at the start, given up when their machine is lost or the farm ends. */
import type { BuildId, MachineId } from '@croft/domain/names';
import type { AttemptEnd } from '@croft/domain/outcome';
import type { Clock } from '@croft/runtime/clock';
import type { Log } from '@croft/runtime/log';
import type { Database } from '@croft/store/database';
import { leasedMachines } from '@croft/store/leases';
import { machineIds, markMachine } from '@croft/store/machines';
import type { Machines } from '../machines/watch-machines.ts';
import type { Drivers } from './drive-builds.ts';
import type { Records } from './records.ts';
import type { FarmDeps, Work } from './work.ts';

export interface Adoption {
  /** Drives every running attempt that has no driver here, under a new epoch. */
  adopt(): Promise<void>;
  giveUpMachine(machine: MachineId, evidence: string): Promise<void>;
  /** The farm ends: every attempt that runs ends with it and its build queues again. */
  giveUpAll(): Promise<void>;
  /** Whatever was left over: machines that no pool has any more are given up, attempts without a driver get one. */
  sweep(): Promise<void>;
}

export interface AdoptionDeps {
  readonly db: Database;
  readonly records: Records;
  readonly logs: FarmDeps['logs'];
  readonly drivers: Drivers;
  readonly machines: Pick<Machines, 'list' | 'surveyed'>;
  readonly clock: Clock;
  readonly log: Log;
  /** No pool has this machine any more: whoever has it loses it. */
  onForsaken(machine: MachineId, evidence: string): Promise<void>;
}

type OfAttempt = Pick<Work, 'build' | 'attempt'>;

export function createAdoption(deps: AdoptionDeps): Adoption {
  const { records, drivers, log } = deps;
  const inTurn = createTurns();
  const giveUp = (of: OfAttempt, end: AttemptEnd): Promise<void> => inTurn(of.build, () => endWithoutDriver(deps, of, end));
  const adoptOne = (of: OfAttempt): Promise<void> =>
    inTurn(of.build, async () => {
      if (drivers.list().some((work) => work.build === of.build && work.attempt === of.attempt)) return;
      const work = await records.takeOver(of.build, of.attempt);
      if (!work) return;
      log.info('attempt taken over', { build: work.build, attempt: work.attempt, epoch: work.lease.epoch });
      drivers.start(work);
    });
  /** One attempt that cannot be moved must not keep the others. */
  const withEach = async (act: (of: OfAttempt) => Promise<void>): Promise<void> => {
    const running = (await records.running()).map(({ id, state }) => ({ build: id, attempt: state.attempts }));
    const onError = (of: OfAttempt, error: unknown): void => log.error('attempt neither taken over nor given up', { ...of, error });
    await Promise.all(running.map((of) => act(of).catch((error: unknown) => onError(of, error))));
  };
  const giveUpMachine = async (machine: MachineId, evidence: string): Promise<void> => {
    const work = await records.workOn(machine);
    if (work) await giveUp(work, { kind: 'infra', cause: 'machine-lost', evidence });
  };
  return {
    adopt: () => withEach(adoptOne),
    giveUpMachine,
    giveUpAll: () =>
      withEach((of) => giveUp(of, { kind: 'infra', cause: 'farm-stopped', evidence: 'the farm was stopped by its operator' })),
    async sweep() {
      for (const machine of await forsaken(deps)) await deps.onForsaken(machine, 'no pool has this machine any more');
      await withEach(adoptOne);
    },
  };
}

/** Whoever ends an attempt first holds it: its driver has let go, and a newer epoch fences off any other. */
async function endWithoutDriver({ records, logs, drivers, log }: AdoptionDeps, of: OfAttempt, end: AttemptEnd): Promise<void> {
  await drivers.drop(of, 'the attempt is given up');
  const work = await records.takeOver(of.build, of.attempt);
  if (!work) return;
  const { logBytes } = await records.load(work);
  await using stored = await logs.resume(work, logBytes);
  await records.finish(work, end, await stored?.complete());
  log.warn('attempt given up', { ...of, end });
}

/** Machines that no pool has; those that are not leased are noted as gone. */
async function forsaken({ db, machines, clock }: AdoptionDeps): Promise<MachineId[]> {
  if (!machines.surveyed()) return [];
  const stored = await db.read(machineIds);
  const here = new Set(machines.list().map((machine) => machine.observed.id)); // after: what is stored is in the list a moment later
  const missing = stored.filter((id) => !here.has(id));
  const leased = await db.read(leasedMachines);
  for (const id of missing.filter((machine) => !leased.has(machine))) {
    await db.write((sql) => markMachine(sql, id, { state: 'gone', at: clock.now(), evidence: 'its pool does not have it any more' }));
  }
  return missing.filter((id) => leased.has(id));
}

/** For each build one thing after the other; other builds do not wait. */
function createTurns(): (build: BuildId, act: () => Promise<void>) => Promise<void> {
  const last = new Map<BuildId, Promise<void>>();
  return async (build, act) => {
    const mine = (last.get(build) ?? Promise.resolve()).then(act, act);
    last.set(build, mine);
    try {
      await mine;
    } finally {
      if (last.get(build) === mine) last.delete(build);
    }
  };
}

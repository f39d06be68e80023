/** One driver for each leased attempt of this process. A driver that fails is started again; one that lost its lease is not. */
import type { BuildId, LeaseId } from '@croft/domain/names';
import type { Clock } from '@croft/runtime/clock';
import type { Trouble } from '@croft/protocol/api';
import { CroftError, errorText, isCode } from '@croft/runtime/errors';
import type { Log } from '@croft/runtime/log';
import { backoffMs, type Random } from '@croft/runtime/random';
import { createTaskGroup } from '@croft/runtime/tasks';
import { runBuild } from './run-build.ts';
import type { FarmDeps, Work } from './work.ts';

export interface Drivers extends AsyncDisposable {
  /** Does nothing when the attempt has a driver already, unless that one has an older epoch: then it is replaced. */
  start(work: Work): void;
  /** The work that is being driven here. */
  list(): readonly Work[];
  /** Attempts whose driver failed and is being started again. */
  troubles(): readonly Trouble[];
  /** Lets the driver know that its build was cancelled. */
  cancel(build: BuildId): void;
  /** Detaches the attempt's driver and waits until it has let go; what runs on the machine goes on. */
  drop(of: Pick<Work, 'build' | 'attempt'>, why: string): Promise<void>;
}

interface Driver {
  trouble: Trouble | undefined;
  readonly work: Work;
  readonly detach: AbortController;
  readonly cancelled: AbortController;
  readonly done: Promise<void>;
}

export interface DriverDeps {
  readonly farm: FarmDeps;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
  onEnd(work: Work): void;
  onTrouble(work: Work): void;
}

export function createDrivers({ farm, clock, random, log, onEnd, onTrouble }: DriverDeps): Drivers {
  const drivers = new Map<LeaseId, Driver>();
  const ofBuild = (build: BuildId): Driver[] => [...drivers.values()].filter((driver) => driver.work.build === build);
  const group = createTaskGroup((name, error) => log.error('driver stopped', { name, error }));

  const drive = async (driver: Driver, signal: AbortSignal): Promise<void> => {
    const { work } = driver;
    const cancelled = driver.cancelled.signal;
    for (let tries = 0; ; tries += 1) {
      try {
        const end = await runBuild(work, farm, { signal, cancelled });
        log.info('attempt ended', { build: work.build, attempt: work.attempt, end: end.kind });
        return;
      } catch (error) {
        if (signal.aborted) return;
        if (isCode(error, 'stale')) {
          log.warn('driver lost its lease', { build: work.build, attempt: work.attempt });
          return;
        }
        log.error('driver failed and is started again', { build: work.build, attempt: work.attempt, tries, error });
        driver.trouble = troubleOf(work, error, driver.trouble?.since ?? clock.now());
        onTrouble(work);
        await clock.sleep(backoffMs(tries, random), { signal });
      }
    }
  };

  return {
    start(work) {
      const { id, epoch } = work.lease;
      const before = drivers.get(id);
      if (before && before.work.lease.epoch >= epoch) return;
      before?.detach.abort(new CroftError('stopped', 'the attempt was taken over'));
      const { promise: done, resolve } = Promise.withResolvers<void>();
      const driver: Driver = { work, trouble: undefined, detach: new AbortController(), cancelled: new AbortController(), done };
      drivers.set(id, driver);
      group.start(`build ${work.build}`, async ({ signal }) => {
        try {
          await before?.done; // two must never have the log open
          await drive(driver, AbortSignal.any([signal, driver.detach.signal]));
        } finally {
          if (drivers.get(id) === driver) drivers.delete(id);
          resolve();
          onEnd(work);
        }
      });
    },
    list: () => [...drivers.values()].map((driver) => driver.work),
    troubles: () => [...drivers.values()].flatMap(({ trouble }) => trouble ?? []),
    cancel(build) {
      for (const driver of ofBuild(build)) driver.cancelled.abort(new CroftError('cancelled', 'the build was cancelled'));
    },
    async drop({ build, attempt }, why) {
      const driver = ofBuild(build).find((candidate) => candidate.work.attempt === attempt);
      driver?.detach.abort(new CroftError('stopped', why));
      await driver?.done;
    },
    [Symbol.asyncDispose]: () => group[Symbol.asyncDispose](),
  };
}

function troubleOf({ build, attempt }: Work, error: unknown, since: number): Trouble {
  return { what: `build ${build}`, text: `attempt ${attempt} cannot go on and is tried again: ${errorText(error)}`, since, build };
}

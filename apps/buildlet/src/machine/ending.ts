/** How a buildlet comes to its end without a signal: halted, heard of no coordinator, or its directories were taken away. */
import type { Clock } from '@croft/runtime/clock';
import { CroftError } from '@croft/runtime/errors';
import type { Log } from '@croft/runtime/log';
import type { TaskGroup } from '@croft/runtime/tasks';
import type { Config } from '../config.ts';
import { messages } from '../events.ts';
import type { Runs } from '../runs/runs.ts';
import type { Ground } from '../state/ground.ts';
import { watchLiveness } from '../state/liveness.ts';
import { powerOff } from './power-off.ts';

export interface Ending {
  readonly finished: Promise<void>;
  /** What its runs are told. */
  readonly why: string;
  /** How long ending them may take. */
  readonly withinMs: number;
  halt(): Promise<void>;
  /** A coordinator was heard. */
  heard(): void;
  /** To be called before each request is served. @throws CroftError `unavailable` when its directories are gone; then it ends */
  checkGround(): void;
}

export interface EndingParts {
  readonly config: Pick<Config, 'orphanedAfterMs' | 'halt'>;
  readonly runs: Pick<Runs, 'endAll'>;
  readonly ground: Pick<Ground, 'missing'>;
  readonly tasks: TaskGroup;
  readonly clock: Clock;
  readonly log: Log;
}

/** After `/halt` was answered: long enough for the answer to arrive. */
const haltAfterMs = 500;
const endRunsWithinMs = 15_000;
/** Where no end can be stored, it is enough that the commands are dead. */
const killRunsWithinMs = 2_000;

export function watchEnding({ config, runs, ground, tasks, clock, log }: EndingParts): Ending {
  const { orphanedAfterMs } = config;
  const liveness = watchLiveness(orphanedAfterMs, { clock, tasks });
  const finished = Promise.withResolvers<void>();
  let why = 'its buildlet was stopped';
  let withinMs = endRunsWithinMs;
  void liveness.orphaned.then(() => {
    why = `its buildlet heard no coordinator for ${orphanedAfterMs} ms`;
    log.warn(messages.orphaned, { afterMs: orphanedAfterMs });
    finished.resolve();
  });
  return {
    finished: finished.promise,
    get why() {
      return why;
    },
    get withinMs() {
      return withinMs;
    },
    async halt() {
      await runs.endAll('its buildlet was halted');
      tasks.start('halt', async ({ signal }) => {
        await clock.sleep(haltAfterMs, { signal });
        if (config.halt) powerOff(log);
        finished.resolve();
      });
    },
    heard: liveness.heard,
    checkGround() {
      const missing = ground.missing();
      if (missing === undefined) return;
      why = `${missing} was taken away from its buildlet`;
      if (withinMs !== killRunsWithinMs) log.error(messages.groundGone, { path: missing });
      withinMs = killRunsWithinMs;
      finished.resolve();
      throw new CroftError('unavailable', `${missing} was removed or replaced: this buildlet ends`, { hint: 'Start another one.' });
    },
  };
}

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
  /** Resolves when every run has ended, but within the second in which Go's programs wait for an answer. Repeating it changes nothing. */
  halt(): Promise<void>;
  /** It was halted, or ends for an update. */
  readonly isEnding: boolean;
  /** Nothing would be lost by its end: it takes no work any more and ends. */
  update(): void;
  /** To be called before work is taken. @throws CroftError `unavailable` once it was halted or ends for an update */
  checkWork(): void;
  /** A coordinator was heard. */
  heard(): void;
  /** To be called before each request is served. @throws CroftError `unavailable` when its directories are gone; then it ends */
  checkGround(): void;
}

export interface EndingParts {
  readonly config: Pick<Config, 'orphanedAfterMs' | 'power'>;
  readonly runs: Pick<Runs, 'endAll'>;
  readonly ground: Pick<Ground, 'missing'>;
  readonly tasks: TaskGroup;
  readonly clock: Clock;
  readonly log: Log;
}

/** From `/halt` to the end: its answer must arrive, and Go's programs know that it comes a second later. */
const haltAfterMs = 1_000;
const answerHaltWithinMs = 500;
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
  let halted: Promise<void> | undefined;
  let updating = false;
  const halt = async (): Promise<void> => {
    tasks.start('halt', async ({ signal }) => {
      await clock.sleep(haltAfterMs, { signal });
      powerOff(config.power, log);
      finished.resolve();
    });
    await runs.endAll('its buildlet was halted');
  };
  return {
    finished: finished.promise,
    get why() {
      return why;
    },
    get withinMs() {
      return withinMs;
    },
    async halt() {
      halted ??= halt();
      const answered = new AbortController();
      await Promise.race([halted, clock.sleep(answerHaltWithinMs, { signal: answered.signal }).catch(() => {})]);
      answered.abort();
    },
    get isEnding() {
      return halted !== undefined || updating;
    },
    update() {
      updating = true;
      why = 'its buildlet ended for an update';
      finished.resolve();
    },
    checkWork() {
      if (updating) throw new CroftError('unavailable', 'the machine is being updated', { hint: 'Ask again in a moment.' });
      if (halted) throw new CroftError('unavailable', 'the machine is being halted', { hint: 'Use another one.' });
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

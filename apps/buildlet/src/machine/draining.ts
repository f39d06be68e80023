/**
 * Ends for an update, between builds: when no run is alive or waits to be collected, nothing is being sent or executed, and nobody has
 * asked for anything for a while. Until then all goes on; the status says `updating`, upon which a coordinator gives it no new build.
 */
import type { Clock } from '@croft/runtime/clock';
import type { Log } from '@croft/runtime/log';
import type { TaskGroup } from '@croft/runtime/tasks';
import { messages } from '../events.ts';
import type { Ending } from './ending.ts';

export interface Draining {
  readonly asked: boolean;
  /** Work was taken. @returns what is called, once, when it has ended */
  work(): () => void;
}

export interface DrainingParts {
  /** Aborts when draining shall begin; undefined: never. */
  readonly drain: AbortSignal | undefined;
  /** How long nothing may have been asked for: longer than a coordinator pauses between the steps of what it has begun, ms. */
  readonly quietMs: number;
  /** Alive, or not collected yet. */
  readonly runs: { list(): readonly unknown[] };
  readonly ending: Pick<Ending, 'update'>;
  readonly tasks: TaskGroup;
  readonly clock: Clock;
  readonly log: Log;
}

export function watchDraining({ drain, quietMs, runs, ending, tasks, clock, log }: DrainingParts): Draining {
  let working = 0;
  let quietSince = clock.monotonic();
  const begin = (): void => {
    log.info(messages.draining, { runs: runs.list().length });
    quietSince = clock.monotonic();
    tasks.start('drain', async ({ signal }) => {
      for (;;) {
        if (working > 0 || runs.list().length > 0) quietSince = clock.monotonic();
        const left = quietSince + quietMs - clock.monotonic();
        if (left <= 0) break;
        await clock.sleep(Math.min(left, quietMs / 4), { signal });
      }
      ending.update();
    });
  };
  if (drain?.aborted) begin();
  else drain?.addEventListener('abort', begin, { once: true });
  return {
    get asked() {
      return drain?.aborted === true;
    },
    work() {
      working += 1;
      return () => {
        working -= 1;
        quietSince = clock.monotonic();
      };
    },
  };
}

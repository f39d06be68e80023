/** Asks a machine again and again whether it is there; the third answer in a row that does not come is one too many. @see buildlet.md 3.3 */
import { SECOND, type Clock } from '@croft/runtime/clock';
import { createTaskGroup } from '@croft/runtime/tasks';

const pauseMs = 10 * SECOND;
const mayMiss = 3;

export interface Heartbeats extends AsyncDisposable {
  /** Once is enough. */
  begin(): void;
}

/** @param ask throws when no answer came; @param lost is called once, and nothing is asked any more */
export function createHeartbeats(
  clock: Clock,
  ask: (signal: AbortSignal) => Promise<unknown>,
  lost: (sinceMs: number, error: unknown) => void,
): Heartbeats {
  const tasks = createTaskGroup((_, error) => lost(0, error));
  let begun = false;
  const watch = async ({ signal }: { signal: AbortSignal }): Promise<void> => {
    let heardAt = clock.monotonic();
    for (let missed = 0; missed < mayMiss;) {
      await clock.sleep(pauseMs, { signal });
      try {
        await ask(signal);
        missed = 0;
        heardAt = clock.monotonic();
      } catch (error) {
        signal.throwIfAborted();
        missed += 1;
        if (missed === mayMiss) lost(clock.monotonic() - heardAt, error);
      }
    }
  };
  return {
    begin() {
      if (!begun) tasks.start('heartbeats', watch);
      begun = true;
    },
    [Symbol.asyncDispose]: () => tasks[Symbol.asyncDispose](),
  };
}

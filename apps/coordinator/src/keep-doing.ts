/** Work of the farm that is done again and again. A failure, such as a database that is gone for a moment, is logged and passes. */
import { SECOND, type Clock } from '@croft/runtime/clock';
import type { Log } from '@croft/runtime/log';

interface Doing {
  readonly name: string;
  readonly act: (waits: { signal: AbortSignal }) => Promise<void>;
}

interface Deps {
  readonly clock: Clock;
  readonly log: Log;
}

const againMs = SECOND;

export interface Regular extends Doing {
  /** Between two times, ms. */
  readonly everyMs: number;
  /** Before the first time, ms. */
  readonly firstMs?: number;
}

/** Until the signal is aborted. */
export async function keepDoing({ everyMs, firstMs = 0, ...doing }: Regular, deps: Deps, waits: { signal: AbortSignal }): Promise<void> {
  await deps.clock.sleep(firstMs, waits);
  for (;;) {
    await done(doing, deps, waits);
    await deps.clock.sleep(everyMs, waits);
  }
}

/** Until it was done once. */
export async function doOnce(doing: Doing, deps: Deps, waits: { signal: AbortSignal }): Promise<void> {
  while (!(await done(doing, deps, waits))) await deps.clock.sleep(againMs, waits);
}

async function done({ name, act }: Doing, { log }: Deps, waits: { signal: AbortSignal }): Promise<boolean> {
  waits.signal.throwIfAborted();
  try {
    await act(waits);
    return true;
  } catch (error) {
    waits.signal.throwIfAborted();
    log.error('background work failed, trying again', { task: name, error });
    return false;
  }
}

/** Work of the farm that is done again and again. A failure, such as a database that is gone for a moment, is logged and passes. */
import { SECOND, type Clock } from '@croft/runtime/clock';
import { CroftError } from '@croft/runtime/errors';
import type { Log } from '@croft/runtime/log';
import type { Bell } from '@croft/runtime/tasks';

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

/** Until the bell rings, but at most this long, ms; without it, until it rings. */
export async function ringOrRest(
  bell: Bell,
  ms: number | undefined,
  { clock, signal }: { clock: Clock; signal: AbortSignal },
): Promise<void> {
  if (ms === undefined) return bell.wait({ signal });
  const over = new AbortController();
  const waits = { signal: AbortSignal.any([signal, over.signal]) };
  await Promise.race([bell.wait(waits), clock.sleep(ms, waits)]).finally(() => over.abort(new CroftError('stopped', 'woken')));
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

/** A limit on a part of something: it rings after a while unless it was disposed of before. */
import type { Clock } from '@croft/runtime/clock';

/** Given so that none is made each time: an `AbortError` takes as long as the rest of a short request. */
const disposed = new Error('not waited for any more');
const unlimited: Disposable = { [Symbol.dispose]: () => undefined };

export function setAlarm(clock: Clock, ms: number | undefined, ring: () => void): Disposable {
  if (ms === undefined) return unlimited;
  const off = new AbortController();
  clock.sleep(ms, { signal: off.signal }).then(ring, () => undefined);
  return { [Symbol.dispose]: () => off.abort(disposed) };
}

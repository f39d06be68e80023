/** A limit on a part of something: it rings after a while unless it was disposed of before. */
import type { Clock } from '@croft/runtime/clock';

/** Given so that none is made each time: an `AbortError` takes as long as the rest of a short request. */
const disposed = new Error('not waited for any more');

export function setAlarm(clock: Clock, ms: number | undefined, ring: () => void): Disposable {
  const off = new AbortController();
  if (ms !== undefined) clock.sleep(ms, { signal: off.signal }).then(ring, () => undefined);
  return { [Symbol.dispose]: () => off.abort(disposed) };
}

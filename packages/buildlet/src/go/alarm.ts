/** A limit on a part of something: it rings after a while unless it was disposed of before. */
import type { Clock } from '@croft/runtime/clock';

export function setAlarm(clock: Clock, ms: number | undefined, ring: () => void): Disposable {
  const off = new AbortController();
  if (ms !== undefined) clock.sleep(ms, { signal: off.signal }).then(ring, () => undefined);
  return { [Symbol.dispose]: () => off.abort() };
}

/**
 * Time as an argument. Everything that reads the clock or waits takes a `Clock`, so that tests decide what time it is.
 * `now` is for instants people read, `monotonic` for measuring and for leases: it never jumps.
 */
import { setTimeout as sleepFor } from 'node:timers/promises';

export const SECOND = 1_000;
export const MINUTE = 60 * SECOND;
export const HOUR = 60 * MINUTE;
export const DAY = 24 * HOUR;

export interface Waits {
  readonly signal?: AbortSignal | undefined;
}

export interface Clock {
  /** Wall time, epoch ms. */
  now(): number;
  /** Milliseconds since an arbitrary start; never goes back, not even when somebody sets the wall clock. */
  monotonic(): number;
  /** Resolves after `ms`; rejects with the signal's reason when it is aborted first. */
  sleep(ms: number, waits?: Waits): Promise<void>;
  /** A signal that aborts with a `TimeoutError` after `ms` (at once if that is past; 24 days at most). It does not keep the process alive. */
  deadline(ms: number): AbortSignal;
}

/** The longest wait a timer can hold; Node fires longer ones at once. */
const longestTimerMs = 2 ** 31 - 1;

export const systemClock: Clock = {
  now: () => Date.now(),
  monotonic: () => performance.now(),
  async sleep(ms, { signal } = {}) {
    try {
      let left = ms;
      for (; left > longestTimerMs; left -= longestTimerMs) await sleepFor(longestTimerMs, undefined, { signal });
      await sleepFor(left, undefined, { signal });
    } catch (error) {
      throw signal?.aborted ? signal.reason : error;
    }
  },
  deadline: (ms) => AbortSignal.timeout(Math.min(Math.max(Math.ceil(ms), 0), longestTimerMs)),
};

/** The signals given, as one; undefined ones are left out. */
export function anySignal(...signals: (AbortSignal | undefined)[]): AbortSignal {
  return AbortSignal.any(signals.filter((signal) => signal !== undefined));
}

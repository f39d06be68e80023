/** Counts failed sign-ins by where they come from, and makes whoever fails too often wait. */
import type { Clock } from '@croft/runtime/clock';
import { MINUTE } from '@croft/runtime/clock';
import { CroftError } from '@croft/runtime/errors';

export interface Attempts {
  /** @throws CroftError `exhausted` while there were too many failures from there. */
  check(from: string): void;
  failed(from: string): void;
}

const sourcesLimit = 10_000;

export function createAttempts(clock: Clock, { limit = 10, windowMs = 5 * MINUTE } = {}): Attempts {
  /** In order of the first failure of each window, oldest first. */
  const failures = new Map<string, { since: number; count: number }>();
  const current = (from: string): { since: number; count: number } | undefined => {
    const entry = failures.get(from);
    if (entry && clock.monotonic() - entry.since < windowMs) return entry;
    failures.delete(from);
    return undefined;
  };
  return {
    check(from) {
      const entry = current(from);
      if (!entry || entry.count < limit) return;
      const waitSeconds = Math.ceil((entry.since + windowMs - clock.monotonic()) / 1_000);
      throw new CroftError('exhausted', `too many failed sign-ins from here; wait ${waitSeconds} s`, {
        fields: { retryAfterSeconds: waitSeconds },
      });
    },
    failed(from) {
      const entry = current(from) ?? { since: clock.monotonic(), count: 0 };
      entry.count += 1;
      if (!failures.has(from) && failures.size >= sourcesLimit) failures.delete(failures.keys().next().value ?? '');
      failures.set(from, entry);
    },
  };
}

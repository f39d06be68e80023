/** Waiting, with a limit, for what nothing announces. */
import { systemClock } from '@croft/runtime/clock';
import { errorText } from '@croft/runtime/errors';

export interface Until {
  readonly what: string;
  readonly limitMs: number;
  /** Added to the failure. */
  readonly tell?: () => string;
}

const pauseMs = 20;

/** Asks until the answer is neither false nor undefined; a probe that throws has not answered yet. */
export async function until<T>(
  probe: () => T | Promise<T>,
  { what, limitMs, tell = () => '' }: Until,
): Promise<NonNullable<Exclude<T, false>>> {
  const deadline = systemClock.deadline(limitMs);
  for (;;) {
    let last: unknown;
    try {
      const found = await probe();
      if (found !== undefined && found !== null && found !== false) return found as NonNullable<Exclude<T, false>>;
    } catch (error) {
      last = error;
    }
    if (deadline.aborted) throw new Error(`waited ${limitMs} ms for ${what}; ${last ? errorText(last) : ''}\n${tell().slice(-4_000)}`);
    await systemClock.sleep(pauseMs);
  }
}

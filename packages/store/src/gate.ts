/** Lets a limited number of works run at once, first come first served, and keeps the line behind it short. */
import { CroftError } from '@croft/runtime/errors';

/** How many may wait at one gate. */
export const maxWaiting = 10_000;

export interface Gate {
  /** @throws CroftError `exhausted` when too many wait, `stopped` after `close` */
  run<T>(work: () => Promise<T>): Promise<T>;
  /** Refuses new works and resolves when the last one admitted has ended. */
  close(): Promise<void>;
}

export function createGate(width: number, what: string): Gate {
  const waiting: (() => void)[] = [];
  const idle = Promise.withResolvers<void>();
  let running = 0;
  let closed = false;
  const leave = (): void => {
    const next = waiting.shift();
    if (next) return next();
    running -= 1;
    if (closed && running === 0) idle.resolve();
  };
  return {
    async run(work) {
      if (closed) throw new CroftError('stopped', `${what}: the database is closed`);
      if (running < width) running += 1;
      else {
        if (waiting.length >= maxWaiting) throw tooMany(what);
        await new Promise<void>((admit) => waiting.push(admit));
      }
      try {
        return await work();
      } finally {
        leave();
      }
    },
    async close() {
      closed = true;
      if (running > 0) await idle.promise;
    },
  };
}

function tooMany(what: string): CroftError {
  return new CroftError('exhausted', `${what}: ${maxWaiting} others wait already`, {
    hint: 'The database is too slow for this load; try again later.',
  });
}

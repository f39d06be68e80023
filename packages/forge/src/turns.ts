/** A limit on how many do something at once; the others wait in order. */
import type { Waits } from '@croft/runtime/clock';

export interface Turns {
  /** Resolves when it is the caller's turn; the caller must call what it gets exactly once. Rejects when aborted before. */
  take(waits: Waits): Promise<() => void>;
}

export function createTurns(limit: number): Turns {
  const waiting: (() => void)[] = [];
  let taken = 0;
  const giveBack = (): void => {
    const next = waiting.shift();
    if (next) next();
    else taken -= 1;
  };
  return {
    async take({ signal }) {
      signal?.throwIfAborted();
      if (taken < limit) {
        taken += 1;
        return giveBack;
      }
      const { promise, resolve, reject } = Promise.withResolvers<void>();
      const onAbort = (): void => {
        const at = waiting.indexOf(resolve);
        if (at < 0) return; // it was given the turn in this very moment
        waiting.splice(at, 1);
        reject(signal?.reason);
      };
      waiting.push(resolve);
      signal?.addEventListener('abort', onAbort, { once: true });
      try {
        await promise;
      } finally {
        signal?.removeEventListener('abort', onAbort);
      }
      return giveBack;
    },
  };
}

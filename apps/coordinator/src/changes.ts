/** Tells spectators that something changed. Nothing depends on it: who misses a change sees it at the next look. */
import type { Change } from '@croft/protocol/api';
import type { Waits } from '@croft/runtime/clock';
import { createBell } from '@croft/runtime/tasks';

export interface Changes {
  tell(change: Change): void;
  follow(waits: Waits): AsyncIterable<Change>;
  /** Calls at each change; for whoever reads everything anew anyway. */
  watch(look: () => void): Disposable;
}

/** What a slow reader may fall behind; older changes are dropped for it. */
const backlog = 256;

export function createChanges(): Changes {
  const readers = new Set<(change: Change) => void>();
  return {
    tell(change) {
      for (const reader of readers) reader(change);
    },
    watch(look) {
      readers.add(look);
      return { [Symbol.dispose]: () => void readers.delete(look) };
    },
    async *follow(waits) {
      const queue = new Map<string, Change>();
      const bell = createBell();
      const reader = (change: Change): void => {
        const key = JSON.stringify(change);
        if (queue.size >= backlog && !queue.has(key)) queue.delete(queue.keys().next().value ?? '');
        queue.set(key, change);
        bell.ring();
      };
      readers.add(reader);
      try {
        for (;;) {
          await bell.wait(waits);
          const batch = [...queue.values()];
          queue.clear();
          yield* batch;
        }
      } finally {
        readers.delete(reader);
      }
    },
  };
}

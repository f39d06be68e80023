/** A transaction inside a transaction would wait for itself; it is refused instead. */
import { AsyncLocalStorage } from 'node:async_hooks';
import { CroftError } from '@croft/runtime/errors';

export interface Nesting {
  run<T>(transaction: () => Promise<T>): Promise<T>;
}

/** Work that a transaction started and that goes on after its end may begin transactions of its own. */
export function refuseNesting(): Nesting {
  const current = new AsyncLocalStorage<{ open: boolean }>();
  return {
    async run(transaction) {
      if (current.getStore()?.open) throw new CroftError('internal', 'a transaction was begun inside another one; pass `sql` on instead');
      const mark = { open: true };
      try {
        return await current.run(mark, transaction);
      } finally {
        mark.open = false;
      }
    },
  };
}

/**
 * Background work with an owner. A task that fails is reported once; disposal aborts all tasks with a `stopped` reason and
 * waits for them, so nothing outlives its group.
 */
import { CroftError } from './errors.ts';

export interface TaskGroup extends AsyncDisposable {
  /** Aborted when the group is being disposed. */
  readonly signal: AbortSignal;
  /** Number of tasks that have not ended. */
  readonly size: number;
  /** Starts a task. A task that throws after the group's signal was aborted is not an error. */
  start(name: string, task: (waits: { signal: AbortSignal }) => Promise<void>): void;
  /** Resolves when no task is left. */
  idle(): Promise<void>;
}

export function createTaskGroup(onError: (name: string, error: unknown) => void): TaskGroup {
  const controller = new AbortController();
  const running = new Set<Promise<void>>();
  const idle = async (): Promise<void> => {
    while (running.size > 0) await Promise.all(running);
  };
  return {
    signal: controller.signal,
    get size() {
      return running.size;
    },
    start(name, task) {
      const done = (async () => {
        try {
          if (!controller.signal.aborted) await task({ signal: controller.signal });
        } catch (error) {
          if (!controller.signal.aborted) onError(name, error);
        }
      })();
      running.add(done);
      void done.then(() => running.delete(done));
    },
    idle,
    async [Symbol.asyncDispose]() {
      controller.abort(new CroftError('stopped', 'stopping'));
      await idle();
    },
  };
}

/** A wake-up that coalesces: any number of `ring`s before a `wait` end that wait once. A ring ends every wait under way. */
export interface Bell {
  ring(): void;
  /** Resolves at the next ring, at once if it rang since the last wait; rejects when the signal is aborted. */
  wait(waits: { signal?: AbortSignal | undefined }): Promise<void>;
}

export function createBell(): Bell {
  let rung = false;
  const waiting = new Set<() => void>();
  return {
    ring() {
      rung = true;
      for (const wake of waiting) wake();
    },
    async wait({ signal }) {
      signal?.throwIfAborted();
      if (!rung) {
        const { promise, resolve, reject } = Promise.withResolvers<void>();
        waiting.add(resolve);
        const onAbort = (): void => reject(signal?.reason);
        signal?.addEventListener('abort', onAbort, { once: true });
        try {
          await promise;
        } finally {
          waiting.delete(resolve);
          signal?.removeEventListener('abort', onAbort);
        }
      }
      rung = false;
    },
  };
}

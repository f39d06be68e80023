/**
 * Keeps SQLite's write-ahead log short without stalling the event loop: a worker thread with a connection of its own copies the log
 * into the database, first beside the writers, then the small rest while they pause, so that the next write begins the log anew.
 */
import { Worker } from 'node:worker_threads';
import { CroftError, errorText, isCode } from '@croft/runtime/errors';
import type { Log } from '@croft/runtime/log';

/** Frames (4 KiB each) in the log at which a checkpoint begins, and at which writers wait for it. */
const longFrames = 4_000;
const tooLongFrames = 12_000;

export interface Checkpointer extends AsyncDisposable {
  /** Begins a checkpoint if the log has become long and none is under way. */
  consider(walFrames: number): void;
}

export interface CheckpointOptions {
  readonly log: Log;
  /** Runs its argument while no transaction writes. */
  alone<T>(work: () => Promise<T>): Promise<T>;
}

export function createCheckpointer(path: string, { log, alone }: CheckpointOptions): Checkpointer {
  let worker: Worker | undefined;
  let copying: Promise<void> | undefined;
  let running: Promise<void> | undefined;
  let pausing = false;
  const copy = async (): Promise<void> => {
    worker ??= new Worker(new URL('./checkpoint-worker.ts', import.meta.url), { workerData: path });
    await (copying = ask(worker));
  };
  const checkpoint = async (): Promise<void> => {
    try {
      await copy();
      await copy(); // what was written during the first, so that the pause is short
      await alone(copy);
    } catch (error) {
      void worker?.terminate();
      worker = undefined;
      if (!isCode(error, 'stopped')) log.error('checkpoint failed; it is tried again later', { database: path, error: errorText(error) });
    } finally {
      running = undefined;
    }
  };
  const pause = async (): Promise<void> => {
    pausing = true;
    await alone(async () => await copying).catch(() => undefined); // its failure is reported above
    pausing = false;
  };
  return {
    consider(walFrames) {
      if (walFrames >= longFrames) running ??= checkpoint();
      if (walFrames >= tooLongFrames && !pausing) void pause();
    },
    async [Symbol.asyncDispose]() {
      await running;
      await worker?.terminate();
    },
  };
}

function ask(worker: Worker): Promise<void> {
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  const ended = (): void => reject(new CroftError('internal', 'the checkpoint thread ended'));
  const done = (): void => resolve();
  worker.once('message', done);
  worker.once('error', reject);
  worker.once('exit', ended);
  worker.ref();
  worker.postMessage('checkpoint');
  return promise.finally(() => {
    worker.off('message', done);
    worker.off('error', reject);
    worker.off('exit', ended);
    worker.unref();
  });
}

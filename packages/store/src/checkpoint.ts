/**
 * Keeps SQLite's write-ahead log short without stalling the event loop: a worker thread with a connection of its own copies the log
 * into the database, first beside the writers, then the small rest while they pause, so that the next write begins the log anew.
 */
import { Worker } from 'node:worker_threads';
import { CroftError, errorText, isCode } from '@croft/runtime/errors';
import type { Log } from '@croft/runtime/log';
import type { Progress } from './checkpoint-worker.ts';

/** Frames (4 KiB each) in the log at which a checkpoint begins. */
const longFrames = 4_000;
/** Frames left at which writers are paused for the rest. */
const shortFrames = 1_000;
const maxRounds = 4;

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
  let running: Promise<void> | undefined;
  const copy = async (): Promise<number> => {
    worker ??= new Worker(new URL('./checkpoint-worker.ts', import.meta.url), { workerData: path });
    const { log: frames, checkpointed } = await ask(worker);
    return frames - checkpointed;
  };
  const checkpoint = async (): Promise<void> => {
    try {
      let left = await copy();
      for (let round = 1; left > shortFrames && round < maxRounds; round += 1) left = await copy();
      if (left > 0) await alone(copy);
    } catch (error) {
      void worker?.terminate();
      worker = undefined;
      if (!isCode(error, 'stopped')) log.error('checkpoint failed; it is tried again later', { database: path, error: errorText(error) });
    } finally {
      running = undefined;
    }
  };
  return {
    consider(walFrames) {
      if (walFrames >= longFrames) running ??= checkpoint();
    },
    async [Symbol.asyncDispose]() {
      await running;
      await worker?.terminate();
    },
  };
}

function ask(worker: Worker): Promise<Progress> {
  const { promise, resolve, reject } = Promise.withResolvers<Progress>();
  const ended = (): void => reject(new CroftError('internal', 'the checkpoint thread ended'));
  worker.once('message', resolve);
  worker.once('error', reject);
  worker.once('exit', ended);
  worker.postMessage('checkpoint');
  return promise.finally(() => {
    worker.off('message', resolve);
    worker.off('error', reject);
    worker.off('exit', ended);
    worker.unref();
  });
}

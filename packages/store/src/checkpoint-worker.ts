/** The thread of checkpoint.ts: one passive checkpoint for each message. */
import { DatabaseSync } from 'node:sqlite';
import { parentPort, workerData } from 'node:worker_threads';

/** Frames in the log, and how many of them are in the database; equal when all is copied. */
export interface Progress {
  readonly log: number;
  readonly checkpointed: number;
}

const db = new DatabaseSync(workerData as string, { timeout: 1_000 });
db.exec('PRAGMA synchronous = NORMAL; PRAGMA wal_autocheckpoint = 0');
const checkpoint = db.prepare('PRAGMA wal_checkpoint(PASSIVE)');

parentPort?.on('message', () => {
  const { log, checkpointed } = checkpoint.get() ?? {};
  parentPort?.postMessage({ log: Number(log), checkpointed: Number(checkpointed) } satisfies Progress);
});

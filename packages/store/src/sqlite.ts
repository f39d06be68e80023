/**
 * SQLite as a `Database`: one writer, whose transactions run one after the other, and a few readers on snapshots of their own, so
 * that nobody sees uncommitted work. Statements run on the calling thread (a few µs each); waiting for the disk does not.
 */
import { setImmediate as nextTurn } from 'node:timers/promises';
import type { Log } from '@croft/runtime/log';
import { createCheckpointer } from './checkpoint.ts';
import type { DatabaseOptions, Engine } from './database.ts';
import { createGate } from './gate.ts';
import { refuseNesting } from './nesting.ts';
import { openConnection, type SqliteConnection } from './sqlite-connection.ts';
import { openWalSync } from './wal-sync.ts';

const maxReaders = 4;
/** Transactions in one turn of the event loop; then everybody else gets a turn. */
const turnLimit = 64;
/** Commits between two looks at the length of the log. */
const lookEvery = 128;

export interface SqliteOptions {
  readonly durability: DatabaseOptions['durability'];
  readonly log: Log;
}

export async function openSqlite(path: string, { durability, log }: SqliteOptions): Promise<Engine> {
  await using stack = new AsyncDisposableStack();
  const writer = stack.adopt(openConnection(path, 'write'), (connection) => connection.close());
  await writer.transaction('BEGIN IMMEDIATE', async (sql) => await sql.run('PRAGMA application_id = 1131570804')); // 'Crft'; creates the -wal
  const sync = stack.use(await openWalSync(path));
  const readers = stack.adopt(new Set<SqliteConnection>(), (all) => all.forEach((connection) => connection.close()));
  const writes = createGate(1, 'writing');
  const reads = createGate(maxReaders, 'reading');
  const checkpointer = stack.use(createCheckpointer(path, { log, alone: (work) => writes.run(work) }));
  stack.defer(async () => {
    await Promise.all([writes.close(), reads.close()]);
  });
  const idle: SqliteConnection[] = [];
  const nesting = refuseNesting();
  const turn = createTurn(turnLimit);
  const flushed = async (): Promise<void> => {
    if (durability === 'power') await sync.flushed();
  };
  let commits = 0;
  const owned = stack.move();
  return {
    dialect: 'sqlite',
    async read(work) {
      const result = await nesting.run(() =>
        reads.run(async () => {
          await turn.take();
          const connection = idle.pop() ?? openConnection(path, 'read');
          readers.add(connection);
          try {
            return await connection.transaction('BEGIN', work);
          } finally {
            idle.push(connection);
          }
        }),
      );
      await flushed();
      return result;
    },
    async write(work) {
      const result = await nesting.run(() =>
        writes.run(async () => {
          await turn.take();
          const value = await writer.transaction('BEGIN IMMEDIATE', work);
          sync.committed();
          commits += 1;
          if (commits % lookEvery === 0) checkpointer.consider(writer.walFrames());
          return value;
        }),
      );
      await flushed();
      return result;
    },
    [Symbol.asyncDispose]: () => owned.disposeAsync(),
  };
}

/** Transactions run in microtasks, so a busy caller could keep timers and sockets waiting for ever. */
function createTurn(limit: number): { take(): Promise<void> } {
  let taken = 0;
  let end: Promise<void> | undefined;
  return {
    async take() {
      while (taken >= limit) await end;
      taken += 1;
      end ??= nextTurn().then(() => {
        taken = 0;
        end = undefined;
      });
    },
  };
}

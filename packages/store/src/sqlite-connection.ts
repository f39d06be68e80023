/** One SQLite connection: its settings, its prepared statements (a bounded number), and its errors in our words. */
import { closeSync, openSync } from 'node:fs';
import { DatabaseSync, type StatementSync } from 'node:sqlite';
import { CroftError } from '@croft/runtime/errors';
import type { Work } from './database.ts';
import { openSession } from './session.ts';

const maxStatements = 256;
/** Only another program can hold a lock that we wait for; the event loop stands still meanwhile, ms. */
const busyMs = 1_000;

export interface SqliteConnection {
  /** Runs `work` between `begin` and COMMIT; rolls back when it throws. */
  transaction<T>(begin: 'BEGIN' | 'BEGIN IMMEDIATE', work: Work<T>): Promise<T>;
  /** Frames in the write-ahead log. */
  walFrames(): number;
  close(): void;
}

/** @throws CroftError `unavailable` when the file cannot be opened or is no database */
export function openConnection(path: string, use: 'read' | 'write'): SqliteConnection {
  const failed = (error: unknown): CroftError => sqliteError(error, path);
  let db: DatabaseSync;
  try {
    closeSync(openSync(path, 'a', 0o600)); // it holds passwords of machines
    db = new DatabaseSync(path, { timeout: busyMs, enableForeignKeyConstraints: true });
    // Checkpoints belong to checkpoint.ts, the synchronisation of commits to wal-sync.ts.
    const mode = db.prepare('PRAGMA journal_mode = WAL').get();
    if (mode?.['journal_mode'] !== 'wal') throw new Error('this file system has no shared memory');
    db.exec('PRAGMA synchronous = NORMAL; PRAGMA wal_autocheckpoint = 0; PRAGMA temp_store = MEMORY');
    db.exec(use === 'read' ? 'PRAGMA query_only = 1' : 'PRAGMA cache_size = -8000');
  } catch (error) {
    throw failed(error);
  }
  const prepare = statementCache(db);
  return {
    async transaction(begin, work) {
      const session = openSession('sqlite', {
        all: (text, params) => prepare(text).all(...params),
        get: (text, params) => prepare(text).get(...params),
        run: (text, params) => Number(prepare(text).run(...params).changes),
      });
      try {
        prepare(begin).run();
        const result = await work(session.sql);
        session.assertWhole();
        prepare('COMMIT').run();
        return result;
      } catch (error) {
        if (db.isTransaction) db.exec('ROLLBACK');
        throw isSqliteError(error) ? failed(error) : error;
      } finally {
        session.end();
      }
    },
    walFrames: () => Number(prepare('PRAGMA wal_checkpoint(NOOP)').get()?.['log'] ?? 0),
    close: () => db.close(),
  };
}

function statementCache(db: DatabaseSync): (text: string) => StatementSync {
  const statements = new Map<string, StatementSync>();
  return (text) => {
    const known = statements.get(text);
    if (known) return known;
    const oldest = statements.size >= maxStatements ? statements.keys().next().value : undefined;
    if (oldest !== undefined) statements.delete(oldest);
    const statement = db.prepare(planned(text));
    statements.set(text, statement);
    return statement;
  };
}

/** SQLite plans a statement anew at each use for the value of a bare `LIMIT ?`: ten times as much work as most of them are. */
const planned = (text: string): string => text.replaceAll('LIMIT ?', 'LIMIT +?');

function isSqliteError(error: unknown): error is Error & { errcode: number } {
  return error instanceof Error && 'code' in error && error.code === 'ERR_SQLITE_ERROR';
}

function sqliteError(error: unknown, path: string): CroftError {
  const doing = `database ${path}`;
  const text = error instanceof Error ? error.message : String(error);
  const cause = { cause: error };
  // Primary result codes of sqlite.org/rescode.html.
  switch (isSqliteError(error) ? error.errcode & 0xff : -1) {
    case 5: // BUSY
    case 6: // LOCKED
      return new CroftError('unavailable', `${doing}: another program holds it`, {
        ...cause,
        hint: 'Close the program that has the file open.',
      });
    case 13: // FULL
      return new CroftError('exhausted', `${doing}: the disk is full`, {
        ...cause,
        hint: 'Free some space; nothing of this change was stored.',
      });
    case 19: // CONSTRAINT
      return new CroftError('conflict', `${doing}: ${text}`, cause);
    case 11: // CORRUPT
    case 26: // NOTADB
      return new CroftError('unavailable', `${doing}: the file is damaged or no database`, {
        ...cause,
        hint: 'Restore it from a backup, or move it away to start empty.',
      });
    case -1: // not SQLite's: the file could not be made
    case 8: // READONLY
    case 10: // IOERR
    case 14: // CANTOPEN
      return new CroftError('unavailable', `${doing}: ${text}`, {
        ...cause,
        hint: 'Check that the directory exists and may be written, and the health of the disk.',
      });
    default:
      return new CroftError('internal', `${doing}: ${text}`, cause);
  }
}

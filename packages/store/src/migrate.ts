/**
 * Brings a database to this program's schema: numbered steps, forward only, each in one transaction with its row in
 * `schema_versions`. Both engines roll DDL back, so a kill at any instant leaves a step wholly done or not begun.
 */
import type { Clock } from '@croft/runtime/clock';
import { CroftError } from '@croft/runtime/errors';
import type { Log } from '@croft/runtime/log';
import type { Dialect, Engine, Sql } from './database.ts';
import { spine } from './migrations/0001-spine.ts';
import { results } from './migrations/0002-results.ts';
import { artifacts } from './migrations/0003-artifacts.ts';
import { retention } from './migrations/0004-retention.ts';
import { caches } from './migrations/0005-caches.ts';
import { beside } from './migrations/0006-beside.ts';
import { dedicated } from './migrations/0007-dedicated.ts';
import { sessions } from './migrations/0008-sessions.ts';
import { sshKeys } from './migrations/0009-ssh-keys.ts';

export interface ColumnTypes {
  /** Text that compares byte by byte. */
  readonly text: string;
  readonly blob: string;
}

export interface Migration {
  readonly version: number;
  readonly title: string;
  /** The statements, in order. */
  statements(types: ColumnTypes): readonly string[];
}

/** In order, without gaps. A migration that was released is never changed. */
export const migrations: readonly Migration[] = [spine, results, artifacts, retention, caches, beside, dedicated, sessions, sshKeys];

export interface MigrateOptions {
  readonly clock: Clock;
  readonly log: Log;
  readonly to?: readonly Migration[];
}

/**
 * @returns the schema's version
 * @throws CroftError `conflict` when a newer program has migrated this database; nothing was changed then
 */
export async function migrate(engine: Engine, { clock, log, to = migrations }: MigrateOptions): Promise<number> {
  const known = to.length;
  const stored = await engine.write(currentVersion);
  if (stored > known) throw newerSchema(stored, known);
  for (const migration of to.slice(stored)) {
    const done = await engine.write((sql) => apply(sql, migration, clock.now()));
    if (done) log.info('schema migrated', { version: migration.version, title: migration.title });
  }
  return known;
}

async function apply(sql: Sql, { version, title, statements }: Migration, now: number): Promise<boolean> {
  if ((await currentVersion(sql)) >= version) return false; // another process was first
  for (const statement of statements(columnTypes(sql.dialect))) await sql.run(statement);
  await sql.run('INSERT INTO schema_versions (version, title, applied_at) VALUES (?, ?, ?)', [version, title, now]);
  return true;
}

/** The version stored, 0 for an empty database. Of several processes one at a time gets past this call. */
async function currentVersion(sql: Sql): Promise<number> {
  if (sql.dialect === 'postgres') await sql.all('SELECT pg_advisory_xact_lock(1131570804)');
  await sql.run(
    'CREATE TABLE IF NOT EXISTS schema_versions (version INTEGER PRIMARY KEY, title TEXT NOT NULL, applied_at BIGINT NOT NULL)',
  );
  const row = await sql.get<{ version: number | null }>('SELECT max(version) AS version FROM schema_versions');
  return row?.version ?? 0;
}

function columnTypes(dialect: Dialect): ColumnTypes {
  return dialect === 'postgres' ? { text: 'TEXT COLLATE "C"', blob: 'BYTEA' } : { text: 'TEXT', blob: 'BLOB' };
}

function newerSchema(stored: number, known: number): CroftError {
  return new CroftError('conflict', `the database has schema version ${stored}; this program knows versions up to ${known}`, {
    hint: 'Run the newer Croft that migrated it, or restore a backup from before the upgrade. Nothing was changed.',
  });
}

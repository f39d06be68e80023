/**
 * One process per name over a PostgreSQL database: a session advisory lock on a connection of its own, which the server gives back
 * when that session ends in whatever way. If the connection is lost the lock is taken again before anything else is done.
 */
import { SECOND, type Clock } from '@croft/runtime/clock';
import { CroftError, errorText } from '@croft/runtime/errors';
import type { Log } from '@croft/runtime/log';
import pg from 'pg';
import { postgresError } from './postgres-errors.ts';

/** How long a start waits for the server to notice that the last holder is dead. */
const patience = { tries: 10, pauseMs: SECOND / 10 };

export interface PostgresLock extends AsyncDisposable {
  /** Resolves while the lock is held. @throws CroftError `unavailable` while it was lost and cannot be had again */
  assertHeld(): Promise<void>;
}

export interface LockOptions {
  readonly name: string;
  readonly log: Log;
  readonly clock: Clock;
}

/** @throws CroftError `conflict` when another process holds the name */
export async function openPostgresLock(settings: pg.ClientConfig, { name, log, clock }: LockOptions): Promise<PostgresLock> {
  let holder: pg.Client | undefined;
  let taking: Promise<void> | undefined;
  let closed = false;
  const take = async (): Promise<void> => {
    const client = new pg.Client(settings);
    const gone = (): void => {
      if (holder === client) holder = undefined;
    };
    client.on('end', gone).on('error', (error) => {
      gone();
      log.warn('lock connection lost', { lock: name, error: errorText(error) });
    });
    try {
      await client.connect();
      const taken = await client.query<{ held: boolean }>('SELECT pg_try_advisory_lock(hashtextextended($1, 0)) AS held', [name]);
      if (!taken.rows[0]?.held) throw await inUse(client, name);
      holder = client;
    } catch (error) {
      await client.end().catch(() => undefined); // it is lost already then
      throw postgresError(error);
    } finally {
      taking = undefined;
    }
  };
  for (let tries = 1; ; tries += 1) {
    try {
      await take();
      break;
    } catch (error) {
      if (!(error instanceof CroftError) || error.code !== 'conflict' || tries === patience.tries) throw error;
      await clock.sleep(patience.pauseMs);
    }
  }
  return {
    async assertHeld() {
      if (holder || closed) return;
      try {
        await (taking ??= take());
      } catch (error) {
        throw new CroftError('unavailable', `the lock "${name}" was lost with its connection: ${errorText(error)}`, {
          cause: error,
          hint: 'Nothing is read or written until it is held again; if another coordinator has taken over, end this one.',
        });
      }
    },
    async [Symbol.asyncDispose]() {
      closed = true;
      await holder?.end();
    },
  };
}

async function inUse(client: pg.Client, name: string): Promise<CroftError> {
  const text = `SELECT a.application_name AS who FROM pg_locks l JOIN pg_stat_activity a ON a.pid = l.pid
    WHERE l.locktype = 'advisory' AND l.granted AND a.datname = current_database() AND a.pid <> pg_backend_pid()
      AND (l.classid::bigint << 32) + l.objid::bigint = hashtextextended($1, 0) LIMIT 1`;
  const found = await client.query<{ who: string }>(text, [name]);
  const who = found.rows[0]?.who ?? 'another process';
  return new CroftError('conflict', `the database is in use by ${who} under the name "${name}"`, {
    hint: 'End that process first, or use another database.',
  });
}

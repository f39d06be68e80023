/**
 * PostgreSQL as a `Database`: a bounded pool of connections. Writes run under READ COMMITTED, so what a transaction decides on must be
 * read with `sql.forUpdate`; reads see one snapshot. Deadlocks and serialization failures are tried again.
 */
import { hostname } from 'node:os';
import type { Clock } from '@croft/runtime/clock';
import { SECOND } from '@croft/runtime/clock';
import { CroftError, errorText } from '@croft/runtime/errors';
import type { Log } from '@croft/runtime/log';
import { backoffMs, type Random } from '@croft/runtime/random';
import pg from 'pg';
import type { Engine, SqlValue, Work } from './database.ts';
import { createGate } from './gate.ts';
import { refuseNesting } from './nesting.ts';
import { lostConnection, mayRetry, postgresError } from './postgres-errors.ts';
import { openPostgresLock } from './postgres-lock.ts';
import { openSession, type Statements } from './session.ts';
import { numberPlaceholders } from './sql-text.ts';

const maxConnections = 10;
const statementLimitMs = 30 * SECOND;
const connectLimitMs = 10 * SECOND;
/** Tries of one write in all. */
const maxTries = 12;
/** Texts that are prepared on each connection; further ones are sent plain. */
const maxPrepared = 256;

export interface PostgresOptions {
  readonly lockName: string | undefined;
  readonly log: Log;
  readonly clock: Clock;
  readonly random: Random;
}

export async function openPostgres(url: string, { lockName, log, clock, random }: PostgresOptions): Promise<Engine> {
  await using stack = new AsyncDisposableStack();
  const settings = connectionSettings(url);
  const lock = lockName === undefined ? undefined : stack.use(await openPostgresLock(settings, { name: lockName, log, clock }));
  const pool = stack.adopt(new pg.Pool({ ...settings, max: maxConnections }), async (open) => await open.end());
  pool.on('connect', (client) => client.on('error', () => {})); // in use: its next statement fails and tells
  pool.on('error', (error) => log.warn('database connection lost', { error: errorText(error) }));
  const gate = createGate(maxConnections, 'using the database');
  stack.defer(() => gate.close());
  const nesting = refuseNesting();
  const statement = statementNames();
  const transaction = async <T>(begin: string, work: Work<T>): Promise<T> => {
    await lock?.assertHeld();
    const client = await connect(pool);
    const session = openSession('postgres', openStatements(client, statement));
    let broken: Error | undefined;
    try {
      await client.query(begin);
      const result = await work(session.sql);
      session.assertWhole();
      await client.query('COMMIT');
      return result;
    } catch (error) {
      if (lostConnection(error)) broken = error as Error;
      else await client.query('ROLLBACK').catch((failed: Error) => (broken = failed));
      throw error;
    } finally {
      session.end();
      client.release(broken);
    }
  };
  const inTurn = async <T>(work: () => Promise<T>): Promise<T> => {
    try {
      return await nesting.run(() => gate.run(work));
    } catch (error) {
      throw postgresError(error);
    }
  };
  await inTurn(() => transaction('BEGIN READ ONLY', async (sql) => await sql.all('SELECT 1')));
  const owned = stack.move();
  return {
    dialect: 'postgres',
    read: (work) => inTurn(() => transaction('BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY', work)),
    write: (work) =>
      inTurn(async () => {
        for (let tries = 1; ; tries += 1) {
          try {
            return await transaction('BEGIN', work);
          } catch (error) {
            if (!mayRetry(error) || tries === maxTries) throw error;
            await clock.sleep(backoffMs(tries, random, { minMs: 4, maxMs: 200 }));
          }
        }
      }),
    [Symbol.asyncDispose]: () => owned.disposeAsync(),
  };
}

function connectionSettings(url: string): pg.ClientConfig {
  return {
    connectionString: url,
    application_name: `croft ${process.pid} on ${hostname()}`,
    connectionTimeoutMillis: connectLimitMs,
    statement_timeout: statementLimitMs,
    idle_in_transaction_session_timeout: statementLimitMs,
    query_timeout: 2 * statementLimitMs,
    keepAlive: true,
    types: { getTypeParser },
  };
}

/** int8 as a number: instants, sizes and counts stay below 2^53. */
const getTypeParser = ((oid: number, format?: 'text' | 'binary') =>
  oid === pg.types.builtins.INT8 ? Number : pg.types.getTypeParser(oid, format as 'text')) as typeof pg.types.getTypeParser;

async function connect(pool: pg.Pool): Promise<pg.PoolClient> {
  try {
    return await pool.connect();
  } catch (error) {
    throw new CroftError('unavailable', `connecting to PostgreSQL: ${errorText(error)}`, {
      cause: error,
      hint: 'Check that the server runs and that the address, user and password in the settings are right.',
    });
  }
}

type Prepared = (text: string) => { readonly text: string; readonly name?: string };

/** Gives each text its numbered form and, to the first ones, a name under which every connection prepares it once. */
function statementNames(): Prepared {
  const known = new Map<string, { text: string; name: string }>();
  return (text) => {
    const found = known.get(text);
    if (found) return found;
    if (known.size >= maxPrepared) return { text: numberPlaceholders(text) };
    const statement = { text: numberPlaceholders(text), name: `s${known.size}` };
    known.set(text, statement);
    return statement;
  };
}

/** The statements of one connection. */
function openStatements(client: pg.PoolClient, statement: Prepared): Statements {
  const query = async (text: string, params: readonly SqlValue[]): Promise<pg.QueryResult> =>
    await client.query({ ...statement(text), values: [...params] });
  return {
    all: async (text, params) => (await query(text, params)).rows,
    get: async (text, params) => (await query(text, params)).rows[0],
    run: async (text, params) => (await query(text, params)).rowCount ?? 0,
  };
}

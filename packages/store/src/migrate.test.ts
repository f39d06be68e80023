import assert from 'node:assert/strict';
import { test } from 'node:test';
import { systemClock } from '@croft/runtime/clock';
import { isCode } from '@croft/runtime/errors';
import { silentLog } from '@croft/runtime/log';
import { openDatabase, openEngine, type Engine } from './database.ts';
import { migrate, migrations, type Migration } from './migrate.ts';
import { moduleAddress, startProgram } from './test-program.ts';
import { eachDatabase, onPostgres } from './testing.ts';

const options = { clock: systemClock, log: silentLog };

const next: Migration = {
  version: migrations.length + 1,
  title: 'next',
  statements: ({ text }) => [
    `CREATE TABLE next (id INTEGER PRIMARY KEY, name ${text})`,
    `INSERT INTO next VALUES (1, 'one')`,
    'DROP TABLE settings',
  ],
};

const works = async (engine: Engine, statement: string): Promise<boolean> =>
  await engine
    .read((sql) => sql.all(statement))
    .then(
      () => true,
      () => false,
    );

/** Opens the database in another process and kills it in the middle of the migration `next`, before its last statement. */
async function killWhileMigrating(url: string): Promise<void> {
  await using program = await startProgram(`
    import { openEngine } from ${moduleAddress('./database.ts')};
    import { migrate, migrations } from ${moduleAddress('./migrate.ts')};
    const clock = { now: () => 1, sleep: async () => {} };
    const engine = await openEngine({ url: ${JSON.stringify(url)}, durability: 'power', log });
    const slow = {
      ...engine,
      write: (work) => engine.write((sql) => work({ ...sql, run: async (text, params) => {
        if (text.startsWith('DROP')) {
          console.log('middle');
          await new Promise((resolve) => setTimeout(resolve, 60_000));
        }
        return await sql.run(text, params);
      } })),
    };
    const next = { version: ${next.version}, title: 'next', statements: () => ${JSON.stringify(next.statements({ text: 'TEXT', blob: 'BLOB' }))} };
    await migrate(slow, { clock, log, to: [...migrations, next] });`);
  await program.kill();
}

eachDatabase('migrations', (open) => {
  test('are numbered without gaps, and each is applied once', async () => {
    assert.deepEqual(
      migrations.map(({ version }) => version),
      migrations.map((_, index) => index + 1),
    );
    await using database = await open();
    assert.equal(database.schemaVersion, migrations.length);
    await using again = await openDatabase({ url: database.url, durability: 'kill', log: silentLog });
    const rows = await again.read((sql) => sql.all<{ version: number }>('SELECT version FROM schema_versions ORDER BY version'));
    assert.deepEqual(
      rows.map(({ version }) => version),
      migrations.map(({ version }) => version),
    );
  });

  test('kill -9 in the middle leaves the old schema, which the next start migrates', async () => {
    await using database = await open();
    await killWhileMigrating(database.url);
    assert.ok(await works(database, 'SELECT * FROM settings'));
    assert.ok(!(await works(database, 'SELECT * FROM next')));
    assert.equal(await migrate(database, { ...options, to: [...migrations, next] }), next.version);
    assert.ok(!(await works(database, 'SELECT * FROM settings')));
    assert.ok(await works(database, 'SELECT * FROM next'));
  });

  test('a migration that fails leaves nothing, and says what failed', async () => {
    await using database = await open();
    const broken: Migration = { ...next, statements: () => ['CREATE TABLE half (id INTEGER)', 'DROP TABLE nothing_like_it'] };
    await assert.rejects(migrate(database, { ...options, to: [...migrations, broken] }), /nothing_like_it/);
    assert.ok(!(await works(database, 'SELECT * FROM half')));
    assert.equal(await migrate(database, options), migrations.length);
  });

  test('an older program refuses a newer schema and changes nothing', async () => {
    await using database = await open();
    await migrate(database, { ...options, to: [...migrations, next] });
    const opening = openDatabase({ url: database.url, durability: 'kill', log: silentLog });
    const names = new RegExp(`version ${next.version};.* up to ${migrations.length}`);
    await assert.rejects(
      opening,
      (error) => isCode(error, 'conflict') && names.test(error.message) && /newer Croft/.test(error.hint ?? ''),
    );
    assert.ok(await works(database, 'SELECT * FROM next'));
  });
});

onPostgres('migrations of several programs', (open) => {
  test('two that migrate at once apply each step once', async () => {
    await using database = await open();
    await using other = await openEngine({ url: database.url, durability: 'kill', log: silentLog });
    const to = [...migrations, next];
    assert.deepEqual(await Promise.all([migrate(database, { ...options, to }), migrate(other, { ...options, to })]), [
      next.version,
      next.version,
    ]);
    const rows = await database.read((sql) => sql.all('SELECT id FROM next'));
    assert.equal(rows.length, 1);
  });
});

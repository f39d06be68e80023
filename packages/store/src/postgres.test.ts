import assert from 'node:assert/strict';
import { test } from 'node:test';
import { isCode } from '@croft/runtime/errors';
import { silentLog } from '@croft/runtime/log';
import { openDatabase, type Database } from './database.ts';
import { moduleAddress, startProgram } from './test-program.ts';
import { onPostgres } from './testing.ts';

const open = async (url: string, lockName?: string): Promise<Database> =>
  await openDatabase({ url, durability: 'power', lockName, log: silentLog });

const endOtherSessions = async (database: Database): Promise<unknown> =>
  await database.write((sql) =>
    sql.all('SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()'),
  );

/** Reads until it works: each connection that died idle fails one read first. */
async function readAgain(database: Database): Promise<void> {
  for (let tries = 1; ; tries += 1) {
    try {
      await database.read((sql) => sql.all('SELECT 1'));
      return;
    } catch (error) {
      if (!isCode(error, 'unavailable') || tries === 20) throw error;
    }
  }
}

onPostgres('transactions', (openFresh) => {
  test('of two that lock in opposite order both succeed, one at its second try', async () => {
    await using database = await openFresh();
    await database.write((sql) => sql.run(`INSERT INTO counters (name, value) VALUES ('a', 0), ('b', 0)`));
    let tries = 0;
    const locked = [Promise.withResolvers<void>(), Promise.withResolvers<void>()];
    const add = async (order: readonly string[], index: number): Promise<void> =>
      await database.write(async (sql) => {
        tries += 1;
        for (const name of order) {
          await sql.run('UPDATE counters SET value = value + 1 WHERE name = ?', [name]);
          locked[index]?.resolve();
          await locked[1 - index]?.promise;
        }
      });
    await Promise.all([add(['a', 'b'], 0), add(['b', 'a'], 1)]);
    const rows = await database.read((sql) => sql.all<{ value: number }>('SELECT value FROM counters'));
    assert.deepEqual(
      rows.map(({ value }) => value),
      [2, 2],
    );
    assert.equal(tries, 3);
  });

  test('a lost connection fails what was under way and is made again by itself', async () => {
    await using database = await openFresh();
    await using other = await open(database.url);
    const begun = Promise.withResolvers<void>();
    const ended = Promise.withResolvers<void>();
    const failing = database.write(async (sql) => {
      begun.resolve();
      await ended.promise;
      await sql.run('DELETE FROM settings');
    });
    await begun.promise;
    await endOtherSessions(other);
    ended.resolve();
    await assert.rejects(failing, (error) => isCode(error, 'unavailable') && error.hint !== undefined);
    await readAgain(database);
  });

  test('a server that is not there is reported without the password', async () => {
    const opening = open('postgres://croft:hunter2@localhost/croft?host=%2Fnowhere');
    await assert.rejects(
      opening,
      (error) => isCode(error, 'unavailable') && error.hint !== undefined && !JSON.stringify([error, error.message]).includes('hunter2'),
    );
  });
});

onPostgres('the lock', (openFresh) => {
  test('a second process under the same name is refused and told who holds it; another name is another lock', async () => {
    await using database = await openFresh({ lockName: 'farm' });
    await assert.rejects(
      open(database.url, 'farm'),
      (error) => isCode(error, 'conflict') && error.message.includes(`croft ${process.pid} on`) && error.hint !== undefined,
    );
    await using other = await open(database.url, 'another farm');
    await readAgain(other);
  });

  test('it is free as soon as its holder was killed', async () => {
    await using database = await openFresh();
    await using program = await startProgram(`
      import { openDatabase } from ${moduleAddress('./database.ts')};
      await openDatabase({ url: ${JSON.stringify(database.url)}, durability: 'kill', lockName: 'farm', log });
      console.log('held');
      setInterval(() => {}, 1_000);`);
    await program.kill();
    await using next = await open(database.url, 'farm');
    await readAgain(next);
  });

  test('when its connection is lost nothing goes on until it is held again, and nothing at all while another has it', async () => {
    let noticed = Promise.withResolvers<void>();
    await using database = await openFresh({
      lockName: 'farm',
      log: { ...silentLog, warn: (message) => message === 'lock connection lost' && noticed.resolve() },
    });
    await using other = await open(database.url);
    await endOtherSessions(other);
    await noticed.promise;
    await readAgain(database);
    await assert.rejects(open(database.url, 'farm'), (error) => isCode(error, 'conflict'));
    noticed = Promise.withResolvers();
    await endOtherSessions(other);
    await noticed.promise;
    await using usurper = await open(database.url, 'farm');
    await assert.rejects(readAgain(database), (error) => isCode(error, 'unavailable') && /another coordinator|lock/.test(error.message));
    await readAgain(usurper);
  });
});

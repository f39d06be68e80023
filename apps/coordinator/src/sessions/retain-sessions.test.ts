import assert from 'node:assert/strict';
import { test } from 'node:test';
import { parseBuilderName, parseSessionId } from '@croft/domain/names';
import { DAY } from '@croft/runtime/clock';
import { silentLog } from '@croft/runtime/log';
import { FakeClock } from '@croft/runtime/testing';
import { appendAudit, listAudit } from '@croft/store/audit';
import { openDatabase, type Database } from '@croft/store/database';
import { endedSessions, insertSession, liveSessions } from '@croft/store/sessions';
import { freshFile } from '@croft/store/testing';
import { retainSessions } from './retain-sessions.ts';

/** The first of them are still borrowed, the others have ended, one each day. */
async function insertSessions(db: Database, { live, ended }: { live: number; ended: number }): Promise<void> {
  await db.write(async (sql) => {
    for (let n = 0; n < live + ended; n += 1) {
      const at = (n - live) * DAY;
      const base = { owner: 'ann', builder: parseBuilderName('linux'), repos: [], needs: { labels: [] }, note: '', createdAt: 0 };
      const state = n < live ? ({ kind: 'waiting', since: 0 } as const) : ({ kind: 'ended', at, reason: 'done' } as const);
      const id = parseSessionId(`S${n.toString(16).padStart(16, '0')}`);
      await insertSession(sql, { ...base, id, from: { kind: 'asked' }, state }, () => `ann-linux-${n}`);
    }
  });
}

test('sessions are forgotten so long after their end, in small writes, and the audit trail keeps what was done in them', async () => {
  await using file = freshFile();
  await using db = await openDatabase({ url: file.url, durability: 'kill', log: silentLog });
  await insertSessions(db, { live: 3, ended: 400 });
  const entry = { at: 0, who: 'ann', what: 'session.create', target: 'S0000000000000003', from: '::1', detail: {} };
  await db.write((sql) => appendAudit(sql, entry));
  const writes: number[] = [];
  const counted: Pick<Database, 'write'> = {
    async write(work) {
      const before = (await db.read((sql) => endedSessions(sql, 1_000))).length;
      const result = await db.write(work);
      writes.push(before - (await db.read((sql) => endedSessions(sql, 1_000))).length);
      return result;
    },
  };
  const clock = new FakeClock(390 * DAY);
  const sweep = (): Promise<number> => retainSessions({ db: counted, keepMs: () => 90 * DAY, clock, log: silentLog }, {});
  assert.equal(await sweep(), 300);
  assert.deepEqual(writes, [100, 100, 100, 0]);
  const left = await db.read((sql) => endedSessions(sql, 1_000));
  assert.deepEqual([left.length, left.at(-1)?.alias], [100, 'ann-linux-303']);
  assert.equal((await db.read((sql) => liveSessions(sql))).length, 3);
  assert.equal((await db.read((sql) => listAudit(sql, { limit: 10 }))).length, 1);
  assert.equal(await sweep(), 0);
});

test('a sweep that is told to stop leaves the rest for the next one', async () => {
  await using file = freshFile();
  await using db = await openDatabase({ url: file.url, durability: 'kill', log: silentLog });
  await insertSessions(db, { live: 0, ended: 150 });
  const stop = new AbortController();
  const stopping: Pick<Database, 'write'> = { write: (work) => db.write(work).finally(() => stop.abort()) };
  const deps = { keepMs: () => DAY, clock: new FakeClock(1_000 * DAY), log: silentLog };
  await assert.rejects(retainSessions({ ...deps, db: stopping }, { signal: stop.signal }));
  assert.equal((await db.read((sql) => endedSessions(sql, 1_000))).length, 50);
  assert.equal(await retainSessions({ ...deps, db }, {}), 50);
});

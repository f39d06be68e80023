import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  parseBuilderName,
  parseBuildId,
  parseMachineId,
  parseRepoName,
  parseRevision,
  parseSessionId,
  type SessionId,
} from '@croft/domain/names';
import { advanceSession } from '@croft/domain/session';
import { CroftError, isCode } from '@croft/runtime/errors';
import { anybodyWaits } from './build-lists.ts';
import { insertBuild } from './builds.ts';
import type { Database } from './database.ts';
import {
  countSessions,
  describeSession,
  endedSessions,
  forgetSessions,
  getSession,
  getSessionForUpdate,
  insertSession,
  liveSessionByAlias,
  liveSessions,
  saveSessionState,
  type NewSession,
  type Session,
} from './sessions.ts';
import { eachDatabase } from './testing.ts';

const build = parseBuildId('B0000000000000001');
const machine = parseMachineId('local-1');

function newSession(n: number, over: Partial<NewSession> = {}): NewSession {
  return {
    id: parseSessionId(`S${n.toString(16).padStart(16, '0')}`),
    owner: 'ann',
    builder: parseBuilderName('linux'),
    repos: [parseRepoName('app')],
    needs: { labels: ['linux'] },
    from: { kind: 'asked' },
    note: '',
    createdAt: n,
    state: { kind: 'waiting', since: n },
    ...over,
  };
}

const insert = (database: Database, session: NewSession, alias: string): Promise<Session> =>
  database.write((sql) => insertSession(sql, session, () => alias));

async function end(database: Database, id: SessionId, at: number): Promise<void> {
  await database.write(async (sql) => {
    const { state } = await getSessionForUpdate(sql, id);
    await saveSessionState(sql, id, advanceSession(state, { kind: 'end', at, reason: 'ann: done' }));
  });
}

const names = (sessions: readonly Session[]): string[] => sessions.map(({ alias }) => alias);

eachDatabase('sessions', (open) => {
  test('a session is what was stored, by its id and by its alias', async () => {
    await using database = await open();
    const stored = await insert(database, newSession(1, { from: { kind: 'held', build, attempt: 2, forMs: 9 } }), 'ann-linux-0');
    assert.deepEqual(stored, { ...newSession(1, { from: stored.from }), alias: 'ann-linux-0', seq: stored.seq, sharedWith: [] });
    assert.deepEqual(await database.read((sql) => getSession(sql, stored.id)), stored);
    assert.deepEqual(await database.read((sql) => liveSessionByAlias(sql, 'ann-linux-0')), stored);
    assert.deepEqual(await database.read((sql) => liveSessions(sql, { build })), [stored]);
    await assert.rejects(
      database.write((sql) => getSessionForUpdate(sql, newSession(9).id)),
      (error) => isCode(error, 'not-found'),
    );
  });

  test('they queue in the order of arrival, among builds', async () => {
    await using database = await open();
    assert.equal(await database.read(anybodyWaits), false);
    const first = await insert(database, newSession(1), 'ann-linux-0');
    assert.equal(await database.read(anybodyWaits), true);
    const repo = parseRepoName('app');
    const tested = [{ repo, revision: parseRevision('a'.repeat(40)) }];
    const queued = { builder: first.builder, trigger: { kind: 'branch', ref: 'main' }, band: 'release', needs: first.needs } as const;
    await database.write((sql) => insertBuild(sql, { ...queued, id: build, revisions: tested, createdAt: 2 }));
    const last = await insert(database, newSession(3), 'ann-linux-1');
    assert.ok(first.seq + 2 === last.seq);
    assert.deepEqual(names(await database.read((sql) => liveSessions(sql))), ['ann-linux-0', 'ann-linux-1']);
  });

  test('SES-4: an alias is free again after the end, and the id is not', async () => {
    await using database = await open();
    const first = await insert(database, newSession(1), 'ann-linux-0');
    await assert.rejects(insert(database, newSession(2), 'ann-linux-0'), (error) => isCode(error, 'conflict'));
    await end(database, first.id, 5);
    assert.equal(await database.read((sql) => liveSessionByAlias(sql, 'ann-linux-0')), undefined);
    const second = await insert(database, newSession(2), 'ann-linux-0');
    assert.equal((await database.read((sql) => liveSessionByAlias(sql, 'ann-linux-0')))?.id, second.id);
    await assert.rejects(insert(database, newSession(1), 'ann-linux-9'), (error) => isCode(error, 'conflict'));
  });

  test('who is not admitted leaves nothing behind', async () => {
    await using database = await open();
    await insert(database, newSession(1), 'ann-linux-0');
    const admitted = database.write((sql) =>
      insertSession(sql, newSession(2), (live) => {
        throw new CroftError('exhausted', `there are ${live.length}`);
      }),
    );
    await assert.rejects(admitted, /there are 1/);
    assert.equal((await database.read((sql) => liveSessions(sql))).length, 1);
  });

  test('of many that are asked for at once each finds the ones before it', async () => {
    await using database = await open();
    const ask = (n: number): Promise<Session> =>
      database.write((sql) => insertSession(sql, newSession(n), (live) => `ann-linux-${live.length}`));
    await Promise.all([1, 2, 3, 4, 5, 6].map(ask));
    const aliases = names(await database.read((sql) => liveSessions(sql)));
    assert.deepEqual(
      aliases,
      [0, 1, 2, 3, 4, 5].map((n) => `ann-linux-${n}`),
    );
  });

  test('those that have ended are told latest first, and are counted no more', async () => {
    await using database = await open();
    for (const n of [1, 2, 3]) await insert(database, newSession(n), `ann-linux-${n}`);
    await end(database, newSession(2).id, 10);
    await end(database, newSession(1).id, 20);
    assert.deepEqual(names(await database.read((sql) => endedSessions(sql, 10))), ['ann-linux-1', 'ann-linux-2']);
    assert.deepEqual(names(await database.read((sql) => endedSessions(sql, 1))), ['ann-linux-1']);
    assert.deepEqual(await database.read(countSessions), { waiting: 1 });
  });

  test('those that ended before an instant are forgotten, oldest first and no more than asked for', async () => {
    await using database = await open();
    for (const n of [1, 2, 3, 4, 5]) await insert(database, newSession(n), `ann-linux-${n}`);
    for (const [n, at] of [
      [3, 10],
      [1, 20],
      [2, 30],
      [4, 40],
    ] as const)
      await end(database, newSession(n).id, at);
    const forget = (limit: number): Promise<number> => database.write((sql) => forgetSessions(sql, { endedBefore: 40, limit }));
    const left = (): Promise<string[]> => database.read(async (sql) => names(await endedSessions(sql, 10)));
    assert.equal(await forget(1), 1);
    assert.deepEqual(await left(), ['ann-linux-4', 'ann-linux-2', 'ann-linux-1']);
    assert.equal(await forget(100), 2);
    assert.deepEqual(await left(), ['ann-linux-4'], 'one that ended at that instant stays');
    assert.equal(await forget(100), 0);
    assert.deepEqual(names(await database.read((sql) => liveSessions(sql))), ['ann-linux-5'], 'and so does one that has not ended');
  });

  test('note and sharing are changed without the other, and any text is kept', async () => {
    await using database = await open();
    const { id } = await insert(database, newSession(1), 'ann-linux-0');
    const note = `'"; DROP TABLE sessions; -- ☃\n`;
    await database.write((sql) => describeSession(sql, id, { note }));
    await database.write((sql) => describeSession(sql, id, { sharedWith: ['bob', 'zoë "z"'] }));
    const found = await database.read((sql) => getSession(sql, id));
    assert.deepEqual([found?.note, found?.sharedWith], [note, ['bob', 'zoë "z"']]);
  });

  test('a state with its machine comes back as it was', async () => {
    await using database = await open();
    const { id, state } = await insert(database, newSession(1), 'ann-linux-0');
    const limits = { idleMs: 1_000, longestMs: 9_000 };
    const assigned = advanceSession(state, { kind: 'assigned', at: 5, machine, limits });
    await database.write((sql) => saveSessionState(sql, id, assigned));
    assert.deepEqual((await database.read((sql) => getSession(sql, id)))?.state, assigned);
  });
});

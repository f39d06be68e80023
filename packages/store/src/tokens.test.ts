import assert from 'node:assert/strict';
import { test } from 'node:test';
import { isCode } from '@croft/runtime/errors';
import { appendAudit, listAudit, type NewAuditEntry } from './audit.ts';
import { getSetting, setSetting } from './settings.ts';
import { eachDatabase } from './testing.ts';
import { insertToken, listTokens, revokeToken, tokenByHash, touchToken, type NewToken } from './tokens.ts';

const token: NewToken = {
  id: 'T1',
  name: 'ci',
  hash: 'ab'.repeat(32),
  role: 'developer',
  scopes: ['croft'],
  createdAt: 1_000,
  expiresAt: 9_000,
};

eachDatabase('tokens', (open) => {
  test('a token is found by its hash and never shows it', async () => {
    await using database = await open();
    await database.write((sql) => insertToken(sql, token));
    const found = await database.read((sql) => tokenByHash(sql, token.hash));
    const { hash: _hash, ...shown } = token;
    assert.deepEqual(found, { ...shown, lastUsedAt: undefined, revokedAt: undefined });
    assert.equal(await database.read((sql) => tokenByHash(sql, 'cd'.repeat(32))), undefined);
  });

  test('two tokens with the same hash are refused', async () => {
    await using database = await open();
    await database.write((sql) => insertToken(sql, token));
    await assert.rejects(
      database.write((sql) => insertToken(sql, { ...token, id: 'T2' })),
      (error) => isCode(error, 'conflict'),
    );
  });

  test('its use only moves forward, its revocation stays', async () => {
    await using database = await open();
    await database.write(async (sql) => {
      await insertToken(sql, token);
      await insertToken(sql, { id: 'T2', name: 'old', hash: 'ef'.repeat(32), role: 'admin', scopes: [], createdAt: 500 });
      await touchToken(sql, 'T1', 3_000);
      await touchToken(sql, 'T1', 2_000);
      await revokeToken(sql, 'T2', 4_000);
      await revokeToken(sql, 'T2', 5_000);
    });
    const [first, second] = await database.read((sql) => listTokens(sql));
    assert.deepEqual([first?.id, first?.lastUsedAt, first?.revokedAt], ['T1', 3_000, undefined]);
    assert.deepEqual([second?.id, second?.expiresAt, second?.revokedAt], ['T2', undefined, 4_000]);
    await assert.rejects(
      database.write((sql) => revokeToken(sql, 'T3', 1)),
      (error) => isCode(error, 'not-found'),
    );
  });
});

eachDatabase('the audit trail', (open) => {
  test('entries are listed newest first, page by page', async () => {
    await using database = await open();
    const entry = (n: number): NewAuditEntry => ({
      at: n,
      who: 'ann',
      what: 'build.cancel',
      target: `B${n}`,
      from: '127.0.0.1',
      detail: { why: 'test', n },
    });
    const ids = await Promise.all([1, 2, 3].map((n) => database.write((sql) => appendAudit(sql, entry(n)))));
    assert.deepEqual(
      ids.toSorted((a, b) => a - b),
      [1, 2, 3],
    );
    const newest = await database.read((sql) => listAudit(sql, { limit: 2 }));
    assert.deepEqual(
      newest.map(({ id }) => id),
      [3, 2],
    );
    const [oldest, ...none] = await database.read((sql) => listAudit(sql, { limit: 2, before: 2 }));
    assert.deepEqual(none, []);
    const n = ids.indexOf(1) + 1;
    assert.deepEqual(oldest, { id: 1, ...entry(n) });
  });
});

eachDatabase('settings', (open) => {
  test('a setting is what was set last, and can be removed', async () => {
    await using database = await open();
    await database.write((sql) => setSetting(sql, 'paused', { by: 'ann', why: 'maintenance' }));
    await database.write((sql) => setSetting(sql, 'paused', { by: 'bob', why: 'fire' }));
    assert.deepEqual(await database.read((sql) => getSetting(sql, 'paused')), { by: 'bob', why: 'fire' });
    await database.write((sql) => setSetting(sql, 'paused', undefined));
    assert.equal(await database.read((sql) => getSetting(sql, 'paused')), undefined);
  });
});

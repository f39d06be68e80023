import assert from 'node:assert/strict';
import { test } from 'node:test';
import { parseBuilderName, parseRepoName, type BuildId } from '@croft/domain/names';
import { neededBlobs } from './blob-needs.ts';
import {
  cacheUsesOf,
  dropCache,
  evictCaches,
  findCache,
  insertCache,
  saveCacheSaved,
  saveCacheUse,
  touchCache,
  type CacheRef,
} from './caches.ts';
import type { Database } from './database.ts';
import { eachDatabase } from './testing.ts';

const build = 'B0123456789abcdef' as BuildId;
const npm: CacheRef = { repo: parseRepoName('app'), builder: parseBuilderName('unit'), name: 'npm', layout: 'l1' };
const hash = (n: number): string => n.toString(16).padStart(64, '0');

const put = (database: Database, key: string, { of = npm, at = 1, bytes = 10, n = 1 } = {}): Promise<boolean> =>
  database.write((sql) => insertCache(sql, of, { key, sha256: hash(n), bytes, build, at }));
const find = async (database: Database, key: string, prefix?: string, of = npm): Promise<string | undefined> =>
  (await database.read((sql) => findCache(sql, of, { key, prefix })))?.key;

eachDatabase('caches', (open) => {
  test('an entry is found under its key by its own builder alone, and never changes', async () => {
    await using database = await open();
    assert.equal(await put(database, 'k', { n: 1 }), true);
    assert.equal(await put(database, 'k', { n: 2 }), false);
    assert.deepEqual(await database.read((sql) => findCache(sql, npm, { key: 'k' })), { key: 'k', sha256: hash(1), bytes: 10 });
    const others = [{ repo: parseRepoName('other') }, { builder: parseBuilderName('other') }, { name: 'other' }, { layout: 'l2' }];
    for (const other of others) assert.equal(await find(database, 'k', '', { ...npm, ...other }), undefined);
  });

  test('without an entry for the key the newest that begins alike is found, where that will do', async () => {
    await using database = await open();
    for (const [n, key] of ['npm-1', 'npm-2', 'go-3', 'np'].entries()) await put(database, key, { at: n });
    assert.equal(await find(database, 'npm-9'), undefined);
    assert.equal(await find(database, 'npm-9', 'npm-'), 'npm-2');
    assert.equal(await find(database, 'npm-1', 'npm-'), 'npm-1');
    assert.equal(await find(database, 'x', 'NPM-'), undefined);
    assert.equal(await find(database, 'x', 'n%'), undefined);
    assert.equal(await find(database, 'x', ''), 'np');
  });

  test('those go first that were not used for longest; their blobs are needed no more', async () => {
    await using database = await open();
    for (const [n, key] of ['a', 'b', 'c'].entries()) await put(database, key, { at: n + 1, bytes: 40, n });
    await database.write((sql) => touchCache(sql, npm, { key: 'a', at: 10 }));
    await database.write((sql) => touchCache(sql, npm, { key: 'a', at: 1 }));
    assert.equal(await database.write((sql) => evictCaches(sql, 120)), 0);
    assert.equal(await database.write((sql) => evictCaches(sql, 100)), 1);
    assert.deepEqual([await find(database, 'a'), await find(database, 'b'), await find(database, 'c')], ['a', undefined, 'c']);
    assert.deepEqual(await database.read((sql) => neededBlobs(sql, [hash(0), hash(1), hash(2)])), new Set([hash(0), hash(2)]));
    assert.equal(await database.write((sql) => evictCaches(sql, 0)), 2);
  });

  test('an entry that cannot be read is dropped, and not the one that has replaced it', async () => {
    await using database = await open();
    await put(database, 'k', { n: 1 });
    await database.write((sql) => dropCache(sql, npm, { key: 'k', sha256: hash(2), bytes: 10 }));
    assert.equal(await find(database, 'k'), 'k');
    await database.write((sql) => dropCache(sql, npm, { key: 'k', sha256: hash(1), bytes: 10 }));
    assert.equal(await find(database, 'k'), undefined);
    assert.equal(await put(database, 'k', { n: 3 }), true);
  });

  test('what an attempt made of a cache is noted, and noted again', async () => {
    await using database = await open();
    const ref = { build, number: 1 };
    await database.write((sql) => saveCacheUse(sql, ref, { name: 'npm', key: 'k' }));
    const use = { name: 'npm', key: 'k', restored: { key: 'j', bytes: 7 }, savedBytes: 9, why: undefined };
    await database.write((sql) => saveCacheUse(sql, ref, { ...use, savedBytes: undefined, why: 'x' }));
    await database.write((sql) => saveCacheSaved(sql, ref, use));
    assert.deepEqual(await database.read((sql) => cacheUsesOf(sql, build)), [{ attempt: 1, ...use }]);
  });
});

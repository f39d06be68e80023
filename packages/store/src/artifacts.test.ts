import assert from 'node:assert/strict';
import { test } from 'node:test';
import { parseBuilderName, type BuildId } from '@croft/domain/names';
import {
  artifactFiles,
  artifactsOf,
  buildersWithArtifacts,
  expireArtifact,
  expiredArtifacts,
  getArtifactFile,
  insertArtifact,
  type NewArtifact,
} from './artifacts.ts';
import { neededBlobs } from './blob-needs.ts';
import { eachDatabase } from './testing.ts';

const builder = parseBuilderName('unit');
const build = 'B0123456789abcdef' as BuildId;
const hash = (n: number): string => n.toString(16).padStart(64, '0');

function kept(name: string, { files = 1, bytes = 10, at = 1_000, keepUntil = 9_000, number = 1, from = 0 } = {}): NewArtifact {
  return {
    build,
    number,
    builder,
    name,
    storedAt: at,
    state: { kind: 'kept', files, bytes, keepUntil },
    files: Array.from({ length: files }, (_, n) => ({
      path: `dist/${String(n).padStart(4, '0')}`,
      sha256: hash(from + n),
      bytes: 10,
      mode: 0o644,
    })),
  };
}

eachDatabase('artifacts', (open) => {
  test('every state comes back as it was noted, with its files', async () => {
    await using database = await open();
    const none = { build, number: 1, builder, storedAt: 1_000, files: [] };
    const all: NewArtifact[] = [
      kept('app', { files: 250 }),
      { ...none, name: 'big', state: { kind: 'refused', why: 'too large' } },
      { ...none, name: 'cov', state: { kind: 'missing' } },
      kept('app', { number: 2, from: 500 }),
    ];
    for (const artifact of all) await database.write((sql) => insertArtifact(sql, artifact));
    const found = await database.read((sql) => artifactsOf(sql, build));
    assert.deepEqual(
      found,
      all.map(({ number: attempt, name, state, storedAt }) => ({ attempt, name, storedAt, state })),
    );
    const files = await database.read((sql) => artifactFiles(sql, { build, number: 1, name: 'app' }, { limit: 1_000 }));
    assert.deepEqual(files, all[0]?.files);
    assert.equal((await database.read((sql) => artifactFiles(sql, { build, number: 1, name: 'app' }, { limit: 3 }))).length, 3);
    const ref = { build, number: 1, name: 'app' };
    assert.deepEqual(await database.read((sql) => getArtifactFile(sql, ref, 'dist/0007')), files[7]);
    assert.equal(await database.read((sql) => getArtifactFile(sql, ref, 'dist/none')), undefined);
  });

  test('noted again, the first note stands', async () => {
    await using database = await open();
    await database.write((sql) => insertArtifact(sql, kept('app', { files: 2 })));
    await database.write((sql) => insertArtifact(sql, kept('app', { files: 3, from: 100 })));
    const [found] = await database.read((sql) => artifactsOf(sql, build));
    assert.deepEqual(found?.state, { kind: 'kept', files: 2, bytes: 10, keepUntil: 9_000 });
    assert.equal((await database.read((sql) => artifactFiles(sql, { build, number: 1, name: 'app' }, { limit: 9 }))).length, 2);
  });

  test('retention lets the old ones go, and the oldest of those that are too much together; their blobs are needed no more', async () => {
    await using database = await open();
    const given = [
      kept('a', { at: 1, bytes: 40 }),
      kept('b', { at: 2, bytes: 40, from: 1 }),
      kept('c', { at: 3, bytes: 40, from: 2, keepUntil: 50 }),
    ];
    for (const artifact of given) await database.write((sql) => insertArtifact(sql, artifact));
    const expired = (now: number, maxBytes: number) => database.read((sql) => expiredArtifacts(sql, builder, { now, maxBytes, limit: 10 }));
    const ref = (name: string) => ({ build, number: 1, name });
    assert.deepEqual(await expired(50, 120), []);
    assert.deepEqual(await expired(51, 120), [ref('c')]);
    assert.deepEqual(await expired(50, 100), [ref('a')]);
    assert.deepEqual(await database.read(buildersWithArtifacts), [builder]);
    assert.deepEqual(await database.read((sql) => neededBlobs(sql, [hash(0), hash(1), hash(9)])), new Set([hash(0), hash(1)]));
    await database.write((sql) => expireArtifact(sql, ref('a')));
    assert.deepEqual((await database.read((sql) => artifactsOf(sql, build)))[0]?.state, { kind: 'expired', files: 1, bytes: 40 });
    assert.deepEqual(await database.read((sql) => neededBlobs(sql, [hash(0), hash(1)])), new Set([hash(1)]));
    for (const name of ['b', 'c']) await database.write((sql) => expireArtifact(sql, ref(name)));
    assert.deepEqual(await database.read(buildersWithArtifacts), []);
  });
});

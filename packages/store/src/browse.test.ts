/** What pages look up beside the grid: builds and commits by their beginning, by words, and by what they were built with. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { buildId, type RepoRevision } from '@croft/domain/job';
import { parseBuilderName, parseRepoName, type BuildId, type Revision } from '@croft/domain/names';
import { buildsBeside, buildsByPrefix } from './build-lists.ts';
import { insertBuild } from './builds.ts';
import { branchesOfCommit, commitsByPrefix, commitsByText, recordBranch } from './commits.ts';
import type { Database } from './database.ts';
import { upsertRepo } from './repos.ts';
import { eachDatabase } from './testing.ts';

const net = parseRepoName('net');
const go = parseRepoName('go');
const revision = (digits: string): Revision => digits.padEnd(40, '0') as Revision;

async function addBuild(database: Database, revisions: readonly RepoRevision[]): Promise<BuildId> {
  const key = { builder: parseBuilderName('linux'), revisions, trigger: { kind: 'branch', ref: 'main' } as const };
  const id = buildId(key);
  await database.write((sql) => insertBuild(sql, { ...key, id, band: 'post-submit', needs: { labels: [] }, createdAt: 1 }));
  return id;
}

async function addCommits(database: Database, subjects: readonly [digits: string, subject: string][], branch = 'main'): Promise<void> {
  const commits = subjects.map(([digits, subject], at) => ({
    revision: revision(digits),
    parents: [],
    authorName: at === 0 ? 'Mona Lisa' : 'Ee Yore',
    authorEmail: '',
    committedAt: at,
    subject,
  }));
  await database.write(async (sql) => {
    await upsertRepo(sql, { name: go, url: '/nowhere' });
    await recordBranch(sql, go, { branch, position: commits.length, commits });
  });
}

eachDatabase('looking things up', (open) => {
  test('what was built with a commit of another repository, the newest first', async () => {
    await using database = await open();
    const tool = { repo: go, revision: revision('a') };
    const first = await addBuild(database, [{ repo: net, revision: revision('1') }, tool]);
    const second = await addBuild(database, [{ repo: net, revision: revision('2') }, tool]);
    await addBuild(database, [
      { repo: net, revision: revision('3') },
      { repo: go, revision: revision('b') },
    ]);
    await addBuild(database, [tool]);
    const beside = (limit: number): Promise<string[]> =>
      database.read(async (sql) => (await buildsBeside(sql, go, { revision: revision('a'), limit })).map(({ id }) => id));
    assert.deepEqual(await beside(10), [second, first]);
    assert.deepEqual(await beside(1), [second]);
  });

  test('a build by the beginning of its id', async () => {
    await using database = await open();
    const id = await addBuild(database, [{ repo: go, revision: revision('a') }]);
    const found = (prefix: string): Promise<string[]> =>
      database.read(async (sql) => (await buildsByPrefix(sql, prefix, 5)).map((build) => build.id));
    assert.deepEqual(await found(id.slice(0, 6)), [id]);
    assert.deepEqual(await found(id), [id]);
    assert.deepEqual(await found(`${id.slice(0, 6)}${id[6] === '0' ? '1' : '0'}`), []);
  });

  test('a commit by the beginning of its hash, in its repository alone', async () => {
    await using database = await open();
    await addCommits(database, [
      ['ab12', 'one'],
      ['ab13', 'two'],
      ['ac', 'three'],
    ]);
    const found = (prefix: string, repo = go): Promise<string[]> =>
      database.read(async (sql) => (await commitsByPrefix(sql, repo, { prefix, limit: 5 })).map(({ subject }) => subject));
    assert.deepEqual(await found('ab1'), ['one', 'two']);
    assert.deepEqual(await found('ab13'), ['two']);
    assert.deepEqual(await found('ab14'), []);
    assert.deepEqual(await found('ab1', net), []);
  });

  test('a commit by words of its subject or its author’s name, whatever their case; signs of patterns are themselves', async () => {
    await using database = await open();
    await addCommits(database, [
      ['1', 'store: Keep 100% of a_b'],
      ['2', 'web: keep nothing'],
      ['3', 'old: keep'],
    ]);
    const found = (words: string, depth = 3): Promise<string[]> =>
      database.read(async (sql) => {
        const commits = await commitsByText(sql, go, { branch: 'main', words, depth, limit: 5 });
        return commits.map((commit) => commit.revision.slice(0, 1));
      });
    assert.deepEqual(await found('KEEP'), ['1', '2', '3']);
    assert.deepEqual(await found('keep', 2), ['1', '2']);
    assert.deepEqual(await found('100%'), ['1']);
    assert.deepEqual(await found('a_b'), ['1']);
    assert.deepEqual(await found('%'), ['1']);
    assert.deepEqual(await found('a\\b'), []);
    assert.deepEqual(await found('mona'), ['1']);
  });

  test('every branch that shows a commit', async () => {
    await using database = await open();
    await addCommits(database, [
      ['2', 'two'],
      ['1', 'one'],
    ]);
    await addCommits(database, [['1', 'one']], 'release');
    const places = await database.read((sql) => branchesOfCommit(sql, go, revision('1')));
    assert.deepEqual(places, [
      { branch: 'main', position: 1 },
      { branch: 'release', position: 1 },
    ]);
  });
});

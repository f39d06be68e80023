import assert from 'node:assert/strict';
import { test } from 'node:test';
import { advance } from '@croft/domain/build';
import { buildId, type RepoRevision, type Trigger } from '@croft/domain/job';
import { parseBuilderName, parseRepoName, type BuildId, type Revision } from '@croft/domain/names';
import type { AttemptEnd } from '@croft/domain/outcome';
import { getBuildForUpdate, insertBuild, saveBuildState } from './builds.ts';
import type { Database } from './database.ts';
import { resultsOfCommits } from './results.ts';
import { eachDatabase } from './testing.ts';

const net = parseRepoName('net');
const go = parseRepoName('go');
const revision = (n: number): Revision => n.toString(16).padStart(40, '0') as Revision;
const sha1 = 'd'.repeat(40);
const failed: AttemptEnd = { kind: 'failed', step: 'test', text: 'exit status 1' };

interface Wish {
  readonly builder: string;
  readonly beside?: readonly RepoRevision[];
  readonly end?: AttemptEnd;
  readonly logSha1?: string;
  readonly trigger?: Trigger;
}

async function addBuild(
  database: Database,
  n: number,
  { builder, beside = [], end, logSha1, trigger = { kind: 'branch', ref: 'main' } }: Wish,
): Promise<BuildId> {
  const key = { builder: parseBuilderName(builder), revisions: [{ repo: net, revision: revision(n) }, ...beside], trigger };
  const id = buildId(key);
  await database.write(async (sql) => {
    await insertBuild(sql, { ...key, id, band: 'post-submit', needs: { labels: [] }, createdAt: 1 });
    if (!end) return;
    const { state } = await getBuildForUpdate(sql, id);
    await saveBuildState(sql, id, advance(state, { kind: 'reported', at: 2, end }), logSha1);
  });
  return id;
}

eachDatabase('results', (open) => {
  test('of a commit are what its builders said, with the log; what has no end is left out', async () => {
    await using database = await open();
    await addBuild(database, 1, { builder: 'linux', end: { kind: 'passed' }, logSha1: sha1 });
    await addBuild(database, 1, { builder: 'plan9', end: failed });
    await addBuild(database, 1, { builder: 'waits' });
    await addBuild(database, 2, { builder: 'linux', end: failed });
    await addBuild(database, 1, { builder: 'tried', end: failed, trigger: { kind: 'change', ref: '7' } });
    const [found, ...others] = await database.read((sql) => resultsOfCommits(sql, net, [revision(1), revision(9)]));
    assert.deepEqual(others, []);
    assert.deepEqual([found?.revision, found?.beside], [revision(1), []]);
    assert.deepEqual(
      found?.results.toSorted((a, b) => (a.builder < b.builder ? -1 : 1)),
      [
        { builder: 'linux', end: 'passed', logSha1: sha1 },
        { builder: 'plan9', end: 'failed', logSha1: undefined },
      ],
    );
  });

  test('with different other revisions stand apart', async () => {
    await using database = await open();
    const beside = (n: number): RepoRevision[] => [{ repo: go, revision: revision(n) }];
    await addBuild(database, 1, { builder: 'linux', end: failed, beside: beside(7) });
    await addBuild(database, 1, { builder: 'linux', end: { kind: 'passed' }, beside: beside(8) });
    const found = await database.read((sql) => resultsOfCommits(sql, net, [revision(1)]));
    assert.deepEqual(
      found
        .map(({ beside: others, results }) => [others, results[0]?.end])
        .toSorted((a, b) => JSON.stringify(a).localeCompare(JSON.stringify(b))),
      [
        [beside(7), 'failed'],
        [beside(8), 'passed'],
      ],
    );
  });

  test('a retry takes the result away until there is another', async () => {
    await using database = await open();
    const id = await addBuild(database, 1, { builder: 'linux', end: failed, logSha1: sha1 });
    await database.write(async (sql) =>
      saveBuildState(sql, id, advance((await getBuildForUpdate(sql, id)).state, { kind: 'retry', at: 3 })),
    );
    assert.deepEqual(await database.read((sql) => resultsOfCommits(sql, net, [revision(1)])), []);
  });
});

import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { Builder } from '@croft/domain/job';
import { parseBuilderName, type RepoName } from '@croft/domain/names';
import type { Reported } from '../originals/report-results.ts';
import { go, net, openDashboardStage, revision, unit, type DashboardStage } from '../originals/testing-stage.ts';
import { createBrowse, type Browse } from './browse.ts';
import { scopedBrowse } from './scoped-browse.ts';

const builders = [
  { name: unit, repos: [go], steps: 'detect', needs: { labels: ['linux'] }, knownIssues: [], isolation: 'none', trust: 'trusted' },
  {
    name: parseBuilderName('lint'),
    repos: [net],
    steps: 'detect',
    needs: { labels: [] },
    knownIssues: [],
    isolation: 'none',
    trust: 'trusted',
  },
] as unknown as Builder[];

interface Stage extends AsyncDisposable {
  readonly stage: DashboardStage;
  readonly browse: Browse;
  build(builder: string, revisions: Reported['revisions'], passed?: boolean): Promise<string>;
}

async function openBrowse(repos: readonly RepoName[] = [go, net]): Promise<Stage> {
  const stage = await openDashboardStage();
  const outlook = async () => ({ plan: { assign: [], lend: [], reasons: new Map() }, builders, troubles: [] });
  return {
    stage,
    browse: createBrowse({ db: stage.db, builders: () => builders, repos: () => repos, outlook: outlook as never }),
    build: (builder, revisions, passed = true) =>
      stage.farm.dashboard.report({ builder: parseBuilderName(builder), revisions, passed, log: `${builder}\n`, runMs: 1_000 }),
    [Symbol.asyncDispose]: () => stage[Symbol.asyncDispose](),
  };
}

const of = (repo: RepoName, n: number) => ({ repo, revision: revision(n) });

describe('a commit', () => {
  test('has its builds in the builders’ order, its neighbours, and what was built with it', async () => {
    await using stage = await openBrowse();
    const other = await stage.build('a-builder-elsewhere', [of(go, 2)]);
    const own = await stage.build('unit', [of(go, 2)], false);
    const dependent = await stage.build('lint', [of(net, 1), of(go, 2)]);
    const detail = await stage.browse.commit('go', revision(2));
    assert.deepEqual(
      detail.builds.map(({ build }) => build.id),
      [own, other],
    );
    assert.deepEqual(
      detail.dependents.map(({ build }) => build.id),
      [dependent],
    );
    assert.deepEqual([detail.older?.revision, detail.newer?.revision, detail.branches], [revision(1), revision(3), ['main']]);
    const together = await stage.browse.commit('net', revision(1));
    assert.deepEqual(together.builds[0]?.beside, [of(go, 2)]);
  });

  test('that is not known is not found, whatever stands in the address', async () => {
    await using stage = await openBrowse();
    for (const [repo, hash] of [
      ['go', revision(9)],
      ['go', 'short'],
      ['no/name', revision(1)],
      ['other', revision(1)],
    ] as const)
      await assert.rejects(stage.browse.commit(repo, hash), { code: 'not-found' });
  });
});

test('repositories show the newest commit of the branch of development, and one of them all its branches', async () => {
  await using stage = await openBrowse();
  const id = await stage.build('unit', [of(go, 3)]);
  const { rows: repos } = await stage.browse.repos({ page: 0 });
  assert.deepEqual(
    repos.map(({ name, branches, tip }) => `${name} ${branches} ${tip?.commit.subject} ${tip?.builds.length}`),
    ['go 1 change 3 1', 'net 1 change 3 0'],
  );
  const repo = await stage.browse.repo('go');
  assert.deepEqual([repo.builders, repo.branches[0]?.builds[0]?.id, repo.more], [['unit'], id, 0]);
  await assert.rejects(stage.browse.repo('constructor'), { code: 'not-found' });
});

test('a builder’s rate counts what the code decided, and its history begins with the newest', async () => {
  await using stage = await openBrowse();
  await stage.build('unit', [of(go, 1)]);
  await stage.build('unit', [of(go, 2)], false);
  const last = await stage.build('unit', [of(go, 3)]);
  const { rows, total } = await stage.browse.builders({ page: 0 });
  const [first] = rows;
  assert.deepEqual([total, (await stage.browse.builders({ page: 1 })).rows], [2, []]);
  assert.deepEqual(
    [first?.name, first?.rate, first?.recent[0]?.id, first?.medianMs],
    ['unit', { passed: 2, failed: 1, infra: 0 }, last, 1_000],
  );
  const detail = await stage.browse.builder('unit');
  assert.deepEqual([detail.steps, detail.settings?.needs.labels, detail.recent.length], ['detect', ['linux'], 3]);
  await stage.build('once', [of(go, 1)]);
  assert.deepEqual((await stage.browse.builder('once')).settings, undefined);
  for (const name of ['never', '../x', '']) await assert.rejects(stage.browse.builder(name), { code: 'not-found' });
});

test('a search finds by beginnings and by words, and nothing for nothing', async () => {
  await using stage = await openBrowse();
  const id = await stage.build('unit', [of(go, 1)]);
  const { browse } = stage;
  assert.deepEqual(
    (await browse.search(` ${id.slice(0, 8).toLowerCase()} `)).builds.map((build) => build.id),
    [id],
  );
  assert.deepEqual(
    (await browse.search('change 2')).commits.map(({ repo, revision: hash }) => `${repo} ${hash}`),
    [`go ${revision(2)}`, `net ${revision(2)}`],
  );
  assert.equal((await browse.search(revision(3))).commits.length, 2);
  assert.deepEqual((await browse.search('LIN')).builders, ['lint']);
  assert.deepEqual((await browse.search('net')).repos, ['net']);
  assert.deepEqual(await browse.search('  '), { builds: [], commits: [], builders: [], repos: [] });
  assert.equal((await browse.search("%' OR 1=1 --")).commits.length, 0);
  assert.equal((await browse.search('chan\0ge 2')).commits.length, 2);
  await assert.rejects(browse.search('x'.repeat(201)), { code: 'invalid' });
});

test('who is limited to some repositories finds nothing of the others', async () => {
  await using stage = await openBrowse();
  const hidden = await stage.build('unit', [of(go, 1)]);
  await stage.build('lint', [of(net, 1), of(go, 1)]);
  const mine = scopedBrowse(stage.browse, (repo) => repo === 'net');
  assert.deepEqual(
    (await mine.repos({ page: 0 })).rows.map(({ name }) => name),
    ['net'],
  );
  assert.deepEqual(
    (await mine.builders({ page: 0 })).rows.map(({ name }) => name),
    ['lint'],
  );
  assert.deepEqual((await mine.commit('net', revision(1))).builds[0]?.beside, []);
  await assert.rejects(mine.commit('go', revision(1)), { code: 'not-found' });
  await assert.rejects(mine.repo('go'), { code: 'not-found' });
  await assert.rejects(mine.builder('unit'), { code: 'not-found' });
  const found = await mine.search('change 1');
  assert.deepEqual(
    found.commits.map(({ repo }) => repo),
    ['net'],
  );
  assert.deepEqual((await mine.search(hidden)).builds, []);
  assert.deepEqual((await mine.search('unit')).builders, []);
});

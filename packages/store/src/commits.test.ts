import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { parseRepoName, type Revision } from '@croft/domain/names';
import { branchCommits, branches, deleteBranch, getCommits, recordBranch, type Commit } from './commits.ts';
import type { Database } from './database.ts';
import { deleteRepo, getRepo, listRepos, recordFetch, upsertRepo } from './repos.ts';
import { eachDatabase } from './testing.ts';

const repo = parseRepoName('croft');
const revision = (n: number): Revision => n.toString(16).padStart(40, '0') as Revision;
const commit = (n: number): Commit => ({
  revision: revision(n),
  parents: n > 0 ? [revision(n - 1)] : [],
  authorName: `Zoë <b>&\n${n}`,
  authorEmail: 'zoe@example.org',
  committedAt: 1_000 + n,
  subject: `change ${n}`,
});
const line = async (database: Database, branch: string): Promise<(readonly [number, Revision])[]> =>
  (await database.read((sql) => branchCommits(sql, repo, { branch, limit: 1_000 }))).map(
    (found) => [found.position, found.revision] as const,
  );

eachDatabase('commits', (open) => {
  test('a branch shows its commits newest first, page by page, as they were given', async () => {
    await using database = await open();
    const commits = Array.from({ length: 250 }, (_, index) => commit(250 - index));
    await database.write((sql) => recordBranch(sql, repo, { branch: 'main', position: 250, commits }));
    const first = await database.read((sql) => branchCommits(sql, repo, { branch: 'main', limit: 100 }));
    const second = await database.read((sql) => branchCommits(sql, repo, { branch: 'main', limit: 200, before: first.at(-1)?.position }));
    assert.deepEqual(
      [...first, ...second].map(({ position: _position, ...rest }) => rest),
      commits,
    );
    assert.deepEqual([first[0]?.position, second.at(-1)?.position], [250, 1]);
  });

  test('a branch that was rewritten further down than was looked at forgets what it showed below', async () => {
    await using database = await open();
    await database.write((sql) =>
      recordBranch(sql, repo, { branch: 'main', position: 3, commits: [commit(3), commit(2), commit(1), commit(0)] }),
    );
    await database.write((sql) => recordBranch(sql, repo, { branch: 'main', position: 3, commits: [commit(13), commit(12)] }));
    assert.deepEqual(await line(database, 'main'), [
      [3, revision(13)],
      [2, revision(12)],
    ]);
  });

  test('branches are listed with their tips, and a deleted one leaves its commits known', async () => {
    await using database = await open();
    await database.write(async (sql) => {
      await recordBranch(sql, repo, { branch: 'main', position: 2, commits: [commit(2), commit(1)] });
      await recordBranch(sql, repo, { branch: 'Feature/ä', position: 7, commits: [commit(7)] });
      await recordBranch(sql, parseRepoName('other'), { branch: 'main', position: 9, commits: [commit(9)] });
    });
    assert.deepEqual(
      (await database.read((sql) => branches(sql, repo))).map((tip) => ({ ...tip })),
      [
        { branch: 'Feature/ä', position: 7, revision: revision(7) },
        { branch: 'main', position: 2, revision: revision(2) },
      ],
    );
    await database.write((sql) => deleteBranch(sql, repo, 'Feature/ä'));
    assert.deepEqual(await line(database, 'Feature/ä'), []);
    const known = await database.read((sql) => getCommits(sql, repo, [revision(7), revision(8), revision(1)]));
    assert.deepEqual([...known.keys()].toSorted(), [revision(1), revision(7)]);
  });

  test('after any pushes and force pushes, a branch is what the model says', async () => {
    await using database = await open();
    let branch = 0;
    const push = fc.record({
      tip: fc.integer({ min: 0, max: 12 }),
      length: fc.integer({ min: 1, max: 13 }),
      version: fc.integer({ min: 0, max: 2 }),
      from: fc.integer({ min: 0, max: 12 }),
    });
    const property = fc.asyncProperty(fc.array(push, { maxLength: 8 }), async (pushes) => {
      branch += 1;
      const name = `b${branch}`;
      const model = new Map<number, Revision>();
      for (const { tip, length, version, from } of pushes) {
        // The line of `version` differs from the original one at position `from` and above.
        const at = (position: number): number => (position >= from ? version * 100 + position : position);
        const positions = Array.from({ length: Math.min(length, tip + 1) }, (_, index) => tip - index);
        const bottom = positions.at(-1) ?? 0;
        const joined = model.get(bottom) === undefined || model.get(bottom) === revision(at(bottom));
        await database.write((sql) =>
          recordBranch(sql, repo, { branch: name, position: tip, commits: positions.map((position) => commit(at(position))) }),
        );
        for (const position of model.keys()) if (position > tip || (!joined && position < bottom)) model.delete(position);
        for (const position of positions) model.set(position, revision(at(position)));
      }
      assert.deepEqual(
        await line(database, name),
        [...model].toSorted(([a], [b]) => b - a),
      );
    });
    await fc.assert(property, { numRuns: 60 });
  });
});

eachDatabase('repositories', (open) => {
  test('a repository keeps what its last good fetch found, and shows no credentials', async () => {
    await using database = await open();
    await database.write((sql) => upsertRepo(sql, { name: repo, url: 'https://ann:hunter2@example.org/croft.git' }));
    assert.deepEqual(await database.read((sql) => getRepo(sql, repo)), {
      name: repo,
      url: 'https://example.org/croft.git',
      defaultBranch: undefined,
      heads: {},
      lastFetchAt: undefined,
      lastError: undefined,
    });
    await database.write((sql) => recordFetch(sql, repo, { at: 1, heads: { main: revision(1) }, defaultBranch: 'main' }));
    await database.write((sql) => recordFetch(sql, repo, { at: 2, error: 'no route to host' }));
    await database.write((sql) => upsertRepo(sql, { name: repo, url: 'git@example.org:croft.git' }));
    const failed = {
      name: repo,
      url: 'git@example.org:croft.git',
      defaultBranch: 'main',
      heads: { main: revision(1) },
      lastFetchAt: 2,
      lastError: 'no route to host',
    };
    assert.deepEqual(await database.read((sql) => listRepos(sql)), [failed]);
    await database.write((sql) => recordFetch(sql, repo, { at: 3, heads: {}, defaultBranch: undefined }));
    assert.deepEqual(await database.read((sql) => getRepo(sql, repo)), {
      ...failed,
      defaultBranch: undefined,
      heads: {},
      lastFetchAt: 3,
      lastError: undefined,
    });
    await database.write((sql) => deleteRepo(sql, repo));
    assert.deepEqual(await database.read((sql) => listRepos(sql)), []);
  });
});

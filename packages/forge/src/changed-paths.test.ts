import assert from 'node:assert/strict';
import path from 'node:path';
import { test } from 'node:test';
import type { Revision } from '@croft/domain/names';
import { CroftError } from '@croft/runtime/errors';
import { changedPaths } from './changed-paths.ts';
import type { Mirror } from './git.ts';
import { createPlace, createRepo, type Repo } from './testing.ts';

/** By subject. */
async function pathsOf(mirror: Mirror, from = 'main'): Promise<Record<string, readonly string[] | undefined>> {
  await mirror.fetch({});
  const { commits } = await mirror.commits({ from, limit: 100 }, {});
  const paths = await mirror.changedPaths(commits, {});
  return Object.fromEntries(commits.map(({ subject, revision }) => [subject, paths.get(revision)]));
}

function commitFiles(repo: Repo, message: string, files: Record<string, string>): Revision {
  for (const [name, content] of Object.entries(files)) repo.write(name, content);
  return repo.commit(message);
}

test('a commit has what it changes against its first parent: a root all, a merge what it brings, an empty one nothing', async () => {
  await using place = createPlace();
  const repo = createRepo(path.join(place.dir, 'source'));
  commitFiles(repo, 'root', { a: '1', 'src/b': '1' });
  repo.git('checkout', '--quiet', '-b', 'side');
  commitFiles(repo, 'beside', { 'src/side': '1' });
  repo.git('checkout', '--quiet', 'main');
  commitFiles(repo, 'changed', { a: '2' });
  repo.git('merge', '--quiet', '--no-ff', '--message=merged', 'side');
  repo.commit('empty');
  repo.git('mv', 'a', 'moved');
  repo.commit('renamed');
  repo.git('rm', '--quiet', 'moved');
  repo.commit('removed');
  assert.deepEqual(await pathsOf(await place.mirror(repo.dir)), {
    root: ['a', 'src/b'],
    changed: ['a'],
    merged: ['src/side'],
    empty: [],
    renamed: ['a', 'moved'],
    removed: ['moved'],
  });
});

test('a name is a name, whatever it looks like', async () => {
  await using place = createPlace();
  const repo = createRepo(path.join(place.dir, 'source'));
  const odd = ['0'.repeat(40), ':100644 100644 aaaa bbbb M', 'line\nend', ' ', 'é'];
  const first = commitFiles(repo, 'odd', Object.fromEntries(odd.map((name) => [name, '1'])));
  commitFiles(repo, 'like the other', { [first]: '1' });
  const paths = await pathsOf(await place.mirror(repo.dir));
  assert.deepEqual(paths['odd']?.toSorted(), odd.toSorted());
  assert.deepEqual(paths['like the other'], [first]);
});

test('a commit that changes too much is left out, and only that one', async () => {
  const asked: number[] = [];
  const [small, large, other] = ['1', '2', '3'].map((digit) => digit.repeat(40) as Revision) as [Revision, Revision, Revision];
  const git = {
    run: async ({ input }: { input?: string | Buffer }) => {
      const lines = String(input).trim().split('\n');
      asked.push(lines.length);
      if (lines.includes(large)) throw new CroftError('exhausted', 'too much');
      return Buffer.from(lines.map((revision) => `${revision}\0:100644 100644 aaaa bbbb M\0file\0`).join(''));
    },
  };
  const commits = [small, large, other].map((revision) => ({ revision, parents: [] }));
  assert.deepEqual(await changedPaths({ git, dir: '' }, commits, {}), new Map([small, other].map((revision) => [revision, ['file']])));
  assert.deepEqual(asked, [3, 2, 1, 1, 1]);
});

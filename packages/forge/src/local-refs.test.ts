import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import fs from 'node:fs';
import path from 'node:path';
import { describe, test } from 'node:test';
import { readLocalRefs } from './local-refs.ts';
import { createPlace, createRepo, runGit, type Repo } from './testing.ts';

/** What git says of it. */
function listed(dir: string): { heads: Record<string, string>; target: string | undefined; detached: string | undefined } {
  const lines = runGit(dir, ['ls-remote', '--symref', '.', 'HEAD', 'refs/heads/*']).split('\n');
  const of = (name: RegExp): string[][] => lines.map((line) => line.split('\t')).filter(([, ref = '']) => name.test(ref));
  const target = of(/^HEAD$/)
    .find(([id = '']) => id.startsWith('ref: '))?.[0]
    ?.slice(5);
  const heads = Object.fromEntries(of(/^refs\/heads\//).map(([id = '', ref = '']) => [ref.slice(11), id]));
  return { heads, target, detached: target === undefined ? of(/^HEAD$/)[0]?.[0] : undefined };
}

function assertAsGit(dir: string): void {
  const own = readLocalRefs(dir);
  assert.ok(own);
  const git = listed(dir);
  assert.deepEqual(Object.fromEntries(own.heads), git.heads);
  assert.deepEqual([...own.heads.keys()], Object.keys(git.heads), 'in the same order');
  assert.equal(own.detached, git.detached);
  // git says nothing of a HEAD whose branch does not exist.
  assert.equal(own.heads.has(own.target?.slice(11) ?? '') ? own.target : undefined, git.target);
}

function withBranches(dir: string, ...init: string[]): Repo {
  const repo = createRepo(dir, ...init);
  const first = repo.commit('first');
  for (const name of ['b', 'a/b/c', 'é', 'Z', 'a.b']) repo.git('branch', name, first);
  return repo;
}

describe('files tell what git tells', () => {
  for (const [what, change] of Object.entries<(repo: Repo) => unknown>({
    'branches in files of their own': () => undefined,
    'packed branches': (repo) => repo.git('pack-refs', '--all'),
    'packed branches of which one has moved and one is gone': (repo) => {
      repo.git('tag', '--annotate', '--message=tag', 'v1');
      repo.git('pack-refs', '--all');
      repo.commit('second');
      repo.git('branch', '-D', 'b');
    },
    'a HEAD on no branch': (repo) => repo.git('checkout', '--quiet', '--detach'),
    'a HEAD on a branch that does not exist': (repo) => repo.git('symbolic-ref', 'HEAD', 'refs/heads/none'),
    'what git leaves lying about': (repo) => fs.writeFileSync(path.join(repo.dir, '.git/refs/heads/b.lock'), ''),
  })) {
    test(what, async () => {
      await using place = createPlace();
      const repo = withBranches(path.join(place.dir, 'source'));
      change(repo);
      assertAsGit(repo.dir);
    });
  }

  test('a bare repository, an empty one, and one with long ids', async () => {
    await using place = createPlace();
    const repo = withBranches(path.join(place.dir, 'source'), '--object-format=sha256');
    runGit(place.dir, ['clone', '--quiet', '--bare', repo.dir, 'bare.git']);
    runGit(place.dir, ['init', '--quiet', '--bare', 'empty.git']);
    for (const dir of [repo.dir, path.join(place.dir, 'bare.git'), path.join(place.dir, 'empty.git')]) assertAsGit(dir);
  });
});

describe('what is not plain is left to git', () => {
  for (const [what, change] of Object.entries<(git: string, repo: Repo) => unknown>({
    'a branch that stands for another': (_, repo) => repo.git('symbolic-ref', 'refs/heads/other', 'refs/heads/main'),
    'a branch that is a link to somewhere': (git) => fs.symlinkSync('/etc/hostname', path.join(git, 'refs/heads/link')),
    'a branch that is a pipe': (git) => spawnSync('mkfifo', [path.join(git, 'refs/heads/pipe')]),
    'a branch that holds anything else': (git) => fs.writeFileSync(path.join(git, 'refs/heads/b'), 'x'.repeat(40)),
    'a HEAD that is a link': (git) => {
      fs.rmSync(path.join(git, 'HEAD'));
      fs.symlinkSync('refs/heads/main', path.join(git, 'HEAD'));
    },
    'refs kept in another way': (git) => fs.mkdirSync(path.join(git, 'reftable')),
    'more branches than are read quickly': (git) => {
      const id = fs.readFileSync(path.join(git, 'refs/heads/main'));
      for (let n = 0; n < 501; n += 1) fs.writeFileSync(path.join(git, `refs/heads/many-${n}`), id);
    },
  })) {
    test(what, async () => {
      await using place = createPlace();
      const repo = withBranches(path.join(place.dir, 'source'));
      change(path.join(repo.dir, '.git'), repo);
      assert.equal(readLocalRefs(repo.dir), undefined);
    });
  }

  test('a working tree beside another, and no repository', async () => {
    await using place = createPlace();
    const repo = withBranches(path.join(place.dir, 'source'));
    repo.git('worktree', 'add', '--quiet', '../beside', 'b');
    assert.equal(readLocalRefs(path.join(place.dir, 'beside')), undefined);
    assert.equal(readLocalRefs(path.join(repo.dir, '.git/worktrees/beside')), undefined);
    assert.equal(readLocalRefs(place.dir), undefined);
    assert.equal(readLocalRefs(path.join(place.dir, 'nowhere')), undefined);
  });
});

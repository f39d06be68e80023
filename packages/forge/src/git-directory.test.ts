import assert from 'node:assert/strict';
import fs from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import type { Revision } from '@croft/domain/names';
import { draftsDir } from './git-directory.ts';
import { createPlace, createRepo, runGit, unpacked, type Repo } from './testing.ts';

function withHistory(dir: string, ...init: string[]): { repo: Repo; revisions: Revision[] } {
  const repo = createRepo(dir, ...init);
  const revisions = [1, 2, 3, 4].map((n) => {
    repo.write('file', `${n}\n`);
    repo.write(`deep/${n}/ü`, String(n), 0o755);
    if (n === 2) fs.symlinkSync('file', join(dir, 'link'));
    return repo.commit(`commit ${n}`);
  });
  return { repo, revisions };
}

test('the tree is a clean checkout of exactly that commit, with as much history as asked for', async () => {
  await using place = createPlace();
  for (const [name, ...init] of [['of sha1'], ['sha256', '--object-format=sha256']] as const) {
    const { repo, revisions } = withHistory(join(place.dir, name), ...init);
    const mirror = await place.mirror(repo.dir, { name: `mirror ${name}.git` });
    await mirror.fetch({});
    for (const [revision, depth, commits] of [
      [revisions[3], 1, 1],
      [revisions[3], 3, 3],
      [revisions[3], 'full', 4],
      [revisions[1], 'full', 2],
      [revisions[2], 50, 3],
    ] as const) {
      assert.ok(revision);
      const root = await unpacked(place, mirror.sourceTar(revision, {}, { submodules: false, lfs: false, history: depth }));
      const git = (...args: string[]): string => runGit(root, args);
      assert.equal(git('rev-parse', 'HEAD'), revision);
      assert.equal(git('status', '--porcelain'), '');
      assert.equal(git('rev-list', '--count', 'HEAD'), String(commits));
      assert.equal(git('fsck', '--full'), '');
      assert.equal(git('rev-parse', '--is-shallow-repository'), String(commits < revisions.indexOf(revision) + 1));
      assert.equal(git('remote'), '');
      assert.doesNotMatch(fs.readFileSync(join(root, '.git/config'), 'utf8'), /url|croft|helper/i);
      git('commit', '--quiet', '--allow-empty', '--message=a job may commit');
    }
    assert.deepEqual(fs.readdirSync(join(place.dir, `mirror ${name}.git`, draftsDir)), []);
  }
});

test('without being asked for there is none; what a killed predecessor left goes', async () => {
  await using place = createPlace();
  const { repo, revisions } = withHistory(join(place.dir, 'repo'));
  const left = join(place.dir, 'mirror.git', draftsDir, 'git-left');
  fs.mkdirSync(left, { recursive: true });
  const mirror = await place.mirror(repo.dir);
  assert.equal(fs.existsSync(left), false);
  const root = await unpacked(place, mirror.sourceTar(revisions[3] as Revision, {}, { submodules: false, lfs: false }));
  assert.equal(fs.existsSync(join(root, '.git')), false);
});

test('of a shallow source comes what there is', async () => {
  await using place = createPlace();
  const { repo, revisions } = withHistory(join(place.dir, 'repo'));
  runGit(place.dir, ['clone', '--quiet', '--depth=2', `file://${repo.dir}`, 'shallow']);
  const mirror = await place.mirror(join(place.dir, 'shallow'));
  await mirror.fetch({});
  const root = await unpacked(place, mirror.sourceTar(revisions[3] as Revision, {}, { submodules: false, lfs: false, history: 'full' }));
  assert.equal(runGit(root, ['rev-list', '--count', 'HEAD']), '2');
  assert.equal(runGit(root, ['status', '--porcelain']), '');
});

test('whoever stops reading leaves nothing in the mirror', async () => {
  await using place = createPlace();
  const { repo, revisions } = withHistory(join(place.dir, 'repo'));
  const mirror = await place.mirror(repo.dir);
  const options = { submodules: false, lfs: false, history: 'full', gzipLevel: 0 } as const;
  for await (const _ of mirror.sourceTar(revisions[3] as Revision, {}, options)) break;
  const drafts = join(place.dir, 'mirror.git', draftsDir);
  assert.deepEqual(fs.existsSync(drafts) ? fs.readdirSync(drafts) : [], []);
});

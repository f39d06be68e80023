/** Repositories made to harm whoever reads them: each is refused or brought into bounds, and reads nothing that is not its own. */
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import fs from 'node:fs';
import path from 'node:path';
import { test } from 'node:test';
import { parseRevision, type Revision } from '@croft/domain/names';
import { createPlace, createRepo, runGit, type Repo } from './testing.ts';

const plain = { submodules: false, lfs: false };

/** Stores an object that git itself would not make. */
function stored({ dir }: Repo, type: 'commit' | 'tree', content: string | Buffer): Revision {
  return parseRevision(runGit(dir, ['hash-object', '-t', type, '-w', '--stdin', '--literally'], Buffer.from(content as string)));
}

function treeOf(repo: Repo, entries: readonly { mode: string; name: string; id: string }[]): Revision {
  const parts = entries.flatMap(({ mode, name, id }) => [Buffer.from(`${mode} ${name}\0`), Buffer.from(id, 'hex')]);
  return stored(repo, 'tree', Buffer.concat(parts));
}

function setMain(repo: Repo, tree: string): Revision {
  repo.git('update-ref', 'refs/heads/main', repo.git('commit-tree', tree, '-m', 'hostile'));
  return parseRevision(repo.git('rev-parse', 'refs/heads/main'));
}

test('commits of impossible dates and of endless words are told within bounds', async () => {
  await using place = createPlace();
  const repo = createRepo(path.join(place.dir, 'source'));
  repo.write('a', 'a');
  repo.commit('a');
  const tree = repo.git('rev-parse', 'HEAD^{tree}');
  const mirror = await place.mirror(repo.dir);
  const endless = 'x'.repeat(100_000);
  for (const [date, at] of [
    ['1700000000 +0000', 1_700_000_000_000],
    ['8640000000001 +0000', 253_402_300_799_000],
    ['99999999999999999999999999 +0000', 253_402_300_799_000],
    ['-5 +0000', 0],
    ['yesterday', 0],
  ] as const) {
    const head = `tree ${tree}\nauthor ${endless} <${endless}> 1 +0000\ncommitter A <a@b> ${date}\n\n`;
    const revision = stored(repo, 'commit', `${head}${endless}\n\n${endless}`);
    repo.git('update-ref', 'refs/heads/main', revision);
    await mirror.fetch({});
    const { commits } = await mirror.commits({ from: 'main', limit: 1 }, {});
    assert.equal(commits[0]?.committedAt, at, date);
    assert.ok(JSON.stringify(commits).length < 100_000);
    assert.equal((await mirror.tree(revision, {})).length, 1);
    for await (const piece of mirror.sourceTar(revision, {}, plain)) assert.ok(piece.length > 0);
  }
});

test('a few trees that stand for billions of files, or for gigabytes of names, are refused before they are unfolded', async () => {
  await using place = createPlace();
  const repo = createRepo(path.join(place.dir, 'source'));
  repo.write('a', 'a');
  repo.commit('a');
  const mirror = await place.mirror(repo.dir);
  const bombs = [
    { width: 10, depth: 12, name: 'd' },
    { width: 3, depth: 11, name: 'n'.repeat(3_000) },
  ];
  for (const { width, depth, name } of bombs) {
    let tree = repo.git('rev-parse', 'HEAD^{tree}');
    for (let level = 0; level < depth; level += 1) {
      tree = treeOf(
        repo,
        Array.from({ length: width }, (_, at) => ({ mode: '40000', name: `${name}${at}`, id: tree })),
      );
    }
    const revision = setMain(repo, tree);
    await mirror.fetch({});
    const before = process.memoryUsage.rss();
    await assert.rejects(mirror.tree(revision, {}), { code: 'invalid', message: /the tree has more than/ });
    assert.ok(process.memoryUsage.rss() - before < 100_000_000, 'it was unfolded');
  }
});

test('a tree that is too deep is refused', async () => {
  await using place = createPlace();
  const repo = createRepo(path.join(place.dir, 'source'));
  repo.write('a', 'a');
  repo.commit('a');
  let tree = repo.git('rev-parse', 'HEAD^{tree}');
  const files = Array.from({ length: 1_010 }, (_, level) => {
    const content = Buffer.concat([Buffer.from('40000 d\0'), Buffer.from(tree, 'hex')]);
    tree = createHash('sha1').update(`tree ${content.length}\0`).update(content).digest('hex');
    const file = path.join(place.dir, `tree-${level}`);
    fs.writeFileSync(file, content);
    return file;
  });
  runGit(repo.dir, ['hash-object', '-t', 'tree', '-w', '--stdin-paths', '--literally'], Buffer.from(files.join('\n')));
  const mirror = await place.mirror(repo.dir);
  await assert.rejects(mirror.tree(setMain(repo, tree), {}), { code: 'invalid', message: /deeper than 1000/ });
});

test('a .gitmodules file includes no other file', async () => {
  await using place = createPlace();
  const inner = createRepo(path.join(place.dir, 'inner'));
  inner.write('inside', 'inside');
  const commit = inner.commit('inside');
  const secret = path.join(place.dir, 'settings of this machine');
  fs.writeFileSync(secret, `[submodule "s"]\n\turl = ${inner.dir}\n`);
  const repo = createRepo(path.join(place.dir, 'source'));
  repo.write('.gitmodules', `[include]\n\tpath = ${JSON.stringify(secret)}\n[submodule "s"]\n\tpath = s\n`);
  repo.git('update-index', '--add', '--cacheinfo', `160000,${commit},s`);
  repo.git('add', '.gitmodules');
  repo.git('commit', '--quiet', '--message=include');
  const revision = parseRevision(repo.git('rev-parse', 'HEAD'));
  const mirror = await place.mirror(repo.dir);
  await assert.rejects(Array.fromAsync(mirror.sourceTar(revision, {}, { submodules: true, lfs: false })), {
    code: 'invalid',
    message: /has no address in \.gitmodules/,
  });
});

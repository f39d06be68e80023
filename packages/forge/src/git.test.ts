import { test } from 'node:test';
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import fs from 'node:fs';
import path from 'node:path';
import { parseRevision, type Revision } from '@croft/domain/names';
import { errorText } from '@croft/runtime/errors';
import type { Mirror } from './git.ts';
import { noteWriter } from './stale-writer.ts';
import { createPlace, createRepo, runGit, serveRepos, type Place, type Repo } from './testing.ts';

function source(place: Place): Repo {
  return createRepo(path.join(place.dir, 'source'));
}

async function heads(mirror: Mirror): Promise<Record<string, string>> {
  return Object.fromEntries((await mirror.branches({})).map(({ name, revision }) => [name, revision]));
}

test('branches, their deletion, force pushes and a branch in place of a directory are followed', async () => {
  await using place = createPlace();
  const repo = source(place);
  const first = repo.commit('first');
  repo.git('branch', 'topic/a');
  const mirror = await place.mirror(repo.dir);
  assert.deepEqual(await mirror.fetch({}), { changed: true });
  assert.deepEqual(await heads(mirror), { main: first, 'topic/a': first });
  assert.deepEqual(await mirror.fetch({}), { changed: false });
  const second = repo.commit('second');
  repo.git('branch', '-D', 'topic/a');
  repo.git('branch', 'topic');
  assert.deepEqual(await mirror.fetch({}), { changed: true });
  assert.deepEqual(await heads(mirror), { main: second, topic: second });
  repo.git('reset', '--quiet', '--hard', first);
  const other = repo.commit('other');
  repo.git('branch', '-D', 'topic');
  assert.deepEqual(await mirror.fetch({}), { changed: true });
  assert.deepEqual(await heads(mirror), { main: other });
  assert.deepEqual(await mirror.tree(second, {}), [], 'what was pushed over can still be built');
});

test('of branches that are said to have moved nothing else is asked', async () => {
  await using place = createPlace();
  const repo = source(place);
  const first = repo.commit('first');
  repo.git('branch', 'a/b');
  const mirror = await place.mirror(repo.dir);
  await mirror.fetch({});
  const second = repo.commit('second');
  repo.git('branch', '--force', 'a/b', second);
  assert.deepEqual(await mirror.fetch({ first: ['a/b'] }), { changed: true });
  assert.deepEqual(await heads(mirror), { main: first, 'a/b': second });
  repo.git('reset', '--quiet', '--hard', first);
  const other = repo.commit('pushed over');
  assert.deepEqual(await mirror.fetch({ first: ['main', 'a/b'] }), { changed: true });
  assert.deepEqual(await heads(mirror), { main: other, 'a/b': second });
});

test('everything is asked for when what is said cannot be all', async () => {
  await using place = createPlace();
  const repo = source(place);
  repo.commit('first');
  repo.git('branch', 'gone');
  const mirror = await place.mirror(repo.dir);
  await mirror.fetch({});
  repo.git('branch', '-D', 'gone');
  for (const said of ['new', 'gone', 'main', '../../HEAD', '--upload-pack=touch hacked']) {
    const revision = repo.commit(`before ${said}`);
    repo.git('branch', '--force', 'new', revision);
    if (said === 'main') repo.git('update-ref', 'refs/heads/main', 'HEAD~1');
    assert.deepEqual(await mirror.fetch({ first: [said] }), { changed: true }, said);
    assert.deepEqual(await heads(mirror), { main: repo.git('rev-parse', 'main'), new: revision }, said);
  }
});

test('the default branch is where HEAD of the source is', async () => {
  await using place = createPlace();
  const repo = source(place);
  const mirror = await place.mirror(repo.dir);
  assert.deepEqual(await mirror.fetch({}), { changed: false });
  assert.deepEqual([await mirror.defaultBranch({}), await mirror.branches({})], [undefined, []]);
  repo.commit('first');
  repo.git('branch', 'a');
  await mirror.fetch({});
  assert.equal(await mirror.defaultBranch({}), 'main');
  repo.git('checkout', '--quiet', 'a');
  assert.deepEqual(await mirror.fetch({}), { changed: true });
  assert.equal(await mirror.defaultBranch({}), 'a');
});

test('a detached HEAD, as a CI checks out, is a branch called HEAD', async () => {
  await using place = createPlace();
  const repo = source(place);
  repo.write('a', 'a');
  const first = repo.commit('first');
  const second = repo.commit('second');
  const checkout = path.join(place.dir, 'checkout');
  runGit(place.dir, ['clone', '--quiet', 'source', 'checkout']);
  runGit(checkout, ['checkout', '--quiet', '--detach', first]);
  runGit(checkout, ['branch', '-D', 'main']);
  const mirror = await place.mirror(checkout);
  await mirror.fetch({});
  assert.deepEqual([await heads(mirror), await mirror.defaultBranch({})], [{ HEAD: first }, 'HEAD']);
  assert.equal((await mirror.commits({ from: 'HEAD', limit: 9 }, {})).commits[0]?.subject, 'first');
  runGit(checkout, ['checkout', '--quiet', '--detach', second]);
  assert.deepEqual(await mirror.fetch({}), { changed: true });
  assert.deepEqual(await heads(mirror), { HEAD: second });
  runGit(checkout, ['checkout', '--quiet', '-b', 'work']);
  await mirror.fetch({});
  assert.deepEqual([await heads(mirror), await mirror.defaultBranch({})], [{ work: second }, 'work']);
});

test('a mirror opened again knows what it had, also when the source is gone', async () => {
  await using place = createPlace();
  const repo = source(place);
  repo.write('a', 'content');
  const revision = repo.commit('first');
  {
    await using before = await place.mirror(repo.dir);
    await before.fetch({});
  }
  fs.renameSync(repo.dir, `${repo.dir}.moved`);
  const mirror = await place.mirror(repo.dir);
  assert.deepEqual([await heads(mirror), await mirror.defaultBranch({})], [{ main: revision }, 'main']);
  assert.equal((await mirror.readFile(revision, 'a', {}, 100))?.toString(), 'content');
  await assert.rejects(mirror.fetch({}), { code: 'not-found', message: `repository ${repo.dir} is not there`, hint: /Put it back/ });
  fs.mkdirSync(repo.dir);
  await assert.rejects(mirror.fetch({}), {
    code: 'not-found',
    message: /^fetching .*not appear to be a git repository/s,
    hint: /still there/,
  });
  fs.rmdirSync(repo.dir);
  fs.renameSync(`${repo.dir}.moved`, repo.dir);
  assert.deepEqual(await mirror.fetch({}), { changed: false });
});

test('the lines of many branches are those of each', async () => {
  await using place = createPlace();
  const repo = source(place);
  const tips = Array.from({ length: 6 }, (_, n) => repo.commit(`main ${n}`));
  repo.git('checkout', '--quiet', '-b', 'side', tips[2] ?? '');
  tips.push(repo.commit('side\n\nwith a body'));
  repo.git('checkout', '--quiet', 'main');
  repo.git('merge', '--quiet', '--no-ff', '--message=merged', 'side');
  repo.git('checkout', '--quiet', '--orphan', 'other');
  tips.push(repo.commit('another root'));
  await using one = await place.mirror(repo.dir, { name: 'one.git' });
  await using many = await place.mirror(repo.dir, { name: 'many.git' });
  await one.fetch({});
  await many.fetch({});
  tips.push(repo.git('rev-parse', 'main') as Revision);
  for (const limit of [1, 3, 100]) {
    const lines = await many.lines({ tips: [...tips, ...tips], limit }, {});
    assert.equal(lines.size, tips.length);
    for (const tip of tips) assert.deepEqual(lines.get(tip), await one.commits({ from: tip, limit }, {}));
  }
});

test('a shallow source is mirrored, and its history grows when it does', async () => {
  await using place = createPlace();
  const repo = source(place);
  for (const message of ['one', 'two', 'three']) repo.commit(message);
  const shallow = path.join(place.dir, 'shallow');
  runGit(place.dir, ['clone', '--quiet', '--depth=1', `file://${repo.dir}`, 'shallow']);
  const mirror = await place.mirror(shallow);
  await mirror.fetch({});
  const line = async (): Promise<[string[], number]> => {
    const { commits, position } = await mirror.commits({ from: 'main', limit: 9 }, {});
    return [commits.map(({ subject }) => subject), position];
  };
  assert.deepEqual(await line(), [['three'], 1]);
  repo.commit('four');
  runGit(shallow, ['pull', '--quiet', '--depth=2']);
  await mirror.fetch({});
  assert.deepEqual(await line(), [['four', 'three'], 2]);
  repo.commit('five');
  runGit(shallow, ['pull', '--quiet', '--unshallow']);
  await mirror.fetch({});
  assert.deepEqual(await line(), [['five', 'four', 'three', 'two', 'one'], 5]);
});

test('a shallow source that gets deeper and nothing else is told from one that stays as it is', async () => {
  await using place = createPlace();
  const repo = source(place);
  for (const message of ['one', 'two', 'three']) repo.commit(message);
  const shallow = path.join(place.dir, 'shallow');
  runGit(place.dir, ['clone', '--quiet', '--depth=1', `file://${repo.dir}`, 'shallow']);
  const mirror = await place.mirror(shallow);
  assert.deepEqual(await mirror.fetch({}), { changed: true });
  assert.deepEqual(await mirror.fetch({}), { changed: false });
  runGit(shallow, ['fetch', '--quiet', '--deepen=1']);
  assert.deepEqual(await mirror.fetch({}), { changed: true, deepened: true });
  assert.equal((await mirror.commits({ from: 'main', limit: 9 }, {})).position, 2);
  runGit(shallow, ['fetch', '--quiet', '--unshallow']);
  assert.deepEqual(await mirror.fetch({ first: ['main'] }), { changed: true, deepened: true });
  assert.equal((await mirror.commits({ from: 'main', limit: 9 }, {})).position, 3);
  assert.deepEqual(await mirror.fetch({}), { changed: false });
});

test('a fork that borrows the objects of another repository is mirrored', async () => {
  await using place = createPlace();
  const repo = source(place);
  repo.write('a', 'a');
  repo.commit('one');
  runGit(place.dir, ['clone', '--quiet', '--shared', '--bare', 'source', 'fork.git']);
  const mirror = await place.mirror(path.join(place.dir, 'fork.git'));
  await mirror.fetch({});
  const { commits } = await mirror.commits({ from: 'main', limit: 9 }, {});
  assert.deepEqual(
    commits.map(({ subject }) => subject),
    ['one'],
  );
  assert.equal((await mirror.tree(commits[0]!.revision, {})).length, 1);
});

test('a source that belongs to another user is mirrored', async () => {
  await using place = createPlace();
  const repo = source(place);
  const revision = repo.commit('first');
  if (process.getuid?.() === 0)
    for (const at of fs.readdirSync(place.dir, { recursive: true, encoding: 'utf8' })) fs.chownSync(path.join(place.dir, at), 12345, 12345);
  const mirror = await place.mirror(repo.dir);
  await mirror.fetch({});
  assert.deepEqual(await heads(mirror), { main: revision });
});

test('commits are told along the first parents, with their numbers', async () => {
  await using place = createPlace();
  const repo = source(place);
  const first = repo.commit('first\n\nbody line\n\nlast line');
  repo.git('checkout', '--quiet', '-b', 'side');
  const side = repo.commit('side');
  repo.git('checkout', '--quiet', 'main');
  const second = repo.commit('日本 ünï "quoted" <b>\n');
  repo.git('merge', '--quiet', '--no-ff', '-m', 'merge', 'side');
  const merge = parseRevision(repo.git('rev-parse', 'HEAD'));
  const mirror = await place.mirror(repo.dir);
  await mirror.fetch({});
  const who = { authorName: 'Croft', authorEmail: 'croft@localhost', committedAt: 1_700_000_000_000 };
  assert.deepEqual(await mirror.commits({ from: 'main', limit: 2 }, {}), {
    commits: [
      { revision: merge, parents: [second, side], ...who, subject: 'merge', body: '' },
      { revision: second, parents: [first], ...who, subject: '日本 ünï "quoted" <b>', body: '' },
    ],
    position: 3,
  });
  const { commits, position } = await mirror.commits({ from: first, limit: 5 }, {});
  assert.deepEqual([commits[0]?.body, position], ['body line\n\nlast line', 1]);
  for (let more = 0; more < 5; more += 1) repo.commit(`more ${more}`);
  await mirror.fetch({});
  assert.equal((await mirror.commits({ from: 'main', limit: 1 }, {})).position, 8);
  repo.commit('and more');
  await mirror.fetch({});
  assert.equal((await mirror.commits({ from: 'main', limit: 5 }, {})).position, 9, 'counted on from the last one');
  await assert.rejects(mirror.commits({ from: '--all', limit: 1 }, {}), {
    code: 'not-found',
    message: /has no branch "--all"/,
    hint: /main/,
  });
});

test('a commit that no branch has is asked of the source; one that nobody has is not found', async () => {
  await using place = createPlace();
  const repo = source(place);
  repo.write('a', 'hidden');
  const hidden = repo.commit('hidden');
  repo.git('checkout', '--quiet', '--orphan', 'fresh');
  repo.commit('fresh');
  repo.git('branch', '-D', 'main');
  const mirror = await place.mirror(repo.dir);
  await mirror.fetch({});
  assert.equal((await mirror.readFile(hidden, Buffer.from('a'), {}, 100))?.toString(), 'hidden');
  await assert.rejects(mirror.tree(parseRevision('1'.repeat(40)), {}), { code: 'not-found', message: /has no commit 1111/ });
  const tree = parseRevision(repo.git('rev-parse', 'HEAD^{tree}'));
  await assert.rejects(mirror.tree(tree, {}), { code: 'invalid', message: /is a tree, not a commit/ });
});

test('a file is read by its path, up to a limit, and links are not followed', async () => {
  await using place = createPlace();
  const repo = source(place);
  repo.write('d/new\nline', 'odd');
  repo.write('large', Buffer.alloc(3_000_000));
  fs.symlinkSync('large', path.join(repo.dir, 'link'));
  const revision = repo.commit('files');
  const mirror = await place.mirror(repo.dir);
  const read = (name: string, maxBytes = 100): Promise<Buffer | undefined> => mirror.readFile(revision, name, {}, maxBytes);
  assert.equal((await read('d/new\nline'))?.toString(), 'odd');
  for (const name of ['d', 'd/none', 'link', 'link/x', 'large/x', '', '../x']) assert.equal(await read(name), undefined, name);
  assert.equal((await read('large', 3_000_000))?.length, 3_000_000);
  await assert.rejects(read('large', 2_999_999), { code: 'exhausted' });
});

test('locks and half-written files of a killed fetch are removed', async () => {
  await using place = createPlace();
  const repo = source(place);
  repo.commit('first');
  const dir = path.join(place.dir, 'mirror.git');
  const leave = (): void => {
    for (const name of [
      'packed-refs.lock',
      'shallow.lock',
      'HEAD.lock',
      'config.lock',
      'refs/heads/main.lock',
      'objects/maintenance.lock',
      'objects/pack/tmp_pack_x',
    ]) {
      fs.mkdirSync(path.dirname(path.join(dir, name)), { recursive: true });
      fs.writeFileSync(path.join(dir, name), '');
    }
  };
  {
    await using before = await place.mirror(repo.dir);
    await before.fetch({});
  }
  leave();
  const mirror = await place.mirror(repo.dir);
  const second = repo.commit('second');
  await mirror.fetch({});
  assert.deepEqual(await heads(mirror), { main: second });
  leave();
  const third = repo.commit('third');
  await assert.rejects(mirror.fetch({}), { code: 'unavailable', message: /lock/ });
  await mirror.fetch({});
  assert.deepEqual(await heads(mirror), { main: third });
  assert.deepEqual(
    fs.readdirSync(dir, { recursive: true, encoding: 'utf8' }).filter((name) => /\.lock$|tmp_|croft-writer/.test(name)),
    [],
  );
});

test('a git that an earlier process left writing is ended first', async () => {
  await using place = createPlace();
  const repo = source(place);
  repo.commit('first');
  await (await place.mirror(repo.dir)).fetch({});
  const left = spawn('sleep', ['1000'], { detached: true, stdio: 'ignore' });
  await once(left, 'spawn');
  noteWriter(path.join(place.dir, 'mirror.git'), left.pid ?? 0);
  const ended = once(left, 'exit');
  await (await place.mirror(repo.dir)).fetch({});
  assert.deepEqual(await ended, [null, 'SIGKILL']);
});

test('fetches at one time take turns, and reading goes on beside them', async () => {
  await using place = createPlace();
  const repo = source(place);
  repo.write('a', 'a');
  const revision = repo.commit('first');
  const mirror = await place.mirror(repo.dir);
  const fetched = await Promise.all(Array.from({ length: 6 }, () => mirror.fetch({})));
  assert.equal(fetched.filter(({ changed }) => changed).length, 1);
  const [, ...trees] = await Promise.all([mirror.fetch({}), ...Array.from({ length: 20 }, () => mirror.tree(revision, {}))]);
  for (const tree of trees) assert.equal(tree.length, 1);
});

test('an aborted fetch leaves a mirror that works', async () => {
  await using place = createPlace();
  const repo = source(place);
  const revision = repo.commit('first');
  const mirror = await place.mirror(repo.dir);
  const controller = new AbortController();
  const done = mirror.fetch({ signal: controller.signal });
  controller.abort(new Error('no longer wanted'));
  await assert.rejects(done, { message: 'no longer wanted' });
  await mirror.fetch({});
  assert.deepEqual(await heads(mirror), { main: revision });
});

test('a password in the address reaches the server and nothing else', async () => {
  await using place = createPlace();
  const repo = source(place);
  const lib = createRepo(path.join(place.dir, 'lib'));
  lib.write('in lib', 'lib');
  lib.commit('lib');
  repo.git('submodule', '--quiet', 'add', '../lib', 'lib');
  const revision = repo.commit('first');
  for (const name of ['source', 'lib']) runGit(place.dir, ['clone', '--quiet', '--bare', name, `srv/${name}`]);
  const server = await serveRepos(path.join(place.dir, 'srv'), 'me:s3cr3t/@word');
  place.onDispose(() => server[Symbol.asyncDispose]());
  const mirror = await place.mirror(`http://me:s3cr3t%2F%40word@${server.url}/source`);
  assert.deepEqual(await mirror.fetch({}), { changed: true });
  assert.deepEqual(await heads(mirror), { main: revision });
  const archive = await Array.fromAsync(mirror.sourceTar(revision, {}, { submodules: true, lfs: false }));
  assert.ok(archive.length > 0, 'the submodule is on the same server and needs the same password');
  for (const name of fs.readdirSync(place.dir, { recursive: true, encoding: 'utf8' })) {
    const at = path.join(place.dir, name);
    if (fs.statSync(at).isFile()) assert.ok(!/s3cr3t/.test(fs.readFileSync(at, 'latin1')), name);
  }
  const wrong = await place.mirror(`http://me:wr0ng@${server.url}/source`, { name: 'wrong.git' });
  await assert.rejects(wrong.fetch({}), (error: Error & { code: string; hint: string }) => {
    assert.equal(error.code, 'unauthenticated');
    assert.doesNotMatch(`${errorText(error)} ${error.stack} ${error.hint} ${JSON.stringify(error)}`, /wr0ng|me:/);
    return true;
  });
  const gone = await place.mirror(`http://me:s3cr3t%2F%40word@${server.url}/nothing`, { name: 'gone.git' });
  await assert.rejects(gone.fetch({}), { code: 'not-found' });
});

test('a look that finds nothing new reads files, or is one listing; fetches are tidied up now and then', async () => {
  await using place = createPlace();
  const repo = source(place);
  const log = path.join(place.dir, 'calls');
  const bin = path.join(place.dir, 'bin');
  fs.mkdirSync(bin);
  fs.writeFileSync(path.join(bin, 'git'), `#!/bin/sh\necho "$*" >> '${log}'\nPATH=\${PATH#*:} exec git "$@"\n`, { mode: 0o755 });
  const mirror = await place.mirror(repo.dir, { path: `${bin}:/usr/local/bin:/usr/bin:/bin:/opt/homebrew/bin` });
  const calls = async (act: () => Promise<unknown>): Promise<string[]> => {
    fs.writeFileSync(log, '');
    await act();
    return fs.readFileSync(log, 'utf8').trim().split('\n');
  };
  const fetched: string[][] = [];
  for (let turn = 0; turn < 27; turn += 1) {
    repo.commit(`commit ${turn}`);
    fetched.push(await calls(() => mirror.fetch({})));
  }
  assert.deepEqual(
    fetched.flatMap((lines, turn) => (lines.some((line) => line.includes(' gc --auto')) ? [turn] : [])),
    [25],
  );
  assert.deepEqual(await calls(() => mirror.fetch({})), ['']);
  repo.git('symbolic-ref', 'refs/heads/alias', 'refs/heads/main'); // only git reads that
  await mirror.fetch({});
  assert.match((await calls(() => mirror.fetch({}))).join('\n'), /^ls-remote [^\n]*$/);
  assert.equal((await mirror.commits({ from: 'main', limit: 1 }, {})).position, 27);
});

import { test } from 'node:test';
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import fs from 'node:fs';
import path from 'node:path';
import { parseRevision, type Revision } from '@croft/domain/names';
import type { Mirror, SourceOptions } from './git.ts';
import { createPlace, createRepo, expectedTree, runGit, treeOnDisk, unpacked, type Place, type Repo } from './testing.ts';

const plain: SourceOptions = { submodules: false, lfs: false };
const oddNames = [
  'new\nline',
  'tab\there',
  'quote"s\'',
  '-rf',
  '--help',
  'back\\slash',
  ' space ',
  'ünïcode/日本',
  '*?[',
  'a'.repeat(200),
  `${'deep/'.repeat(60)}file`,
];
const notUtf8 = Buffer.from([0x6e, 0xff, 0xfe, 0x2f, 0x80, 0x0a]);

/** Modes, links, odd names, attributes that would change an archive or a checkout, nothing and much. */
function createOddRepo(dir: string): { repo: Repo; revision: Revision } {
  const repo = createRepo(dir);
  repo.git('config', 'core.autocrlf', 'false');
  for (const name of [...oddNames, notUtf8]) repo.write(name, name);
  repo.write('.gitattributes', '*.txt text eol=crlf\n* text=auto\nid ident\nsecret export-ignore\nstamp export-subst\n');
  repo.write('dos.txt', 'one\r\ntwo\r\n');
  repo.write('unix.txt', 'one\ntwo\n');
  repo.write('id', '$Id$');
  repo.write('secret', 'not left out');
  repo.write('stamp', '$Format:%H$');
  repo.write('bin/run', '#!/bin/sh\n', 0o755);
  repo.write('empty', '');
  repo.write('large', Buffer.alloc(20 * 1024 * 1024, 'twenty mebibytes, and no newline; '));
  fs.symlinkSync('../empty', path.join(dir, 'bin/up'));
  fs.symlinkSync('bin', path.join(dir, 'to a directory'));
  fs.symlinkSync('nowhere', path.join(dir, 'dangling'));
  return { repo, revision: repo.commit('odd') };
}

async function assertExact(place: Place, mirror: Mirror, revision: Revision): Promise<void> {
  const root = await unpacked(place, mirror.sourceTar(revision, {}, plain));
  const listed = expectedTree((await mirror.tree(revision, {})).filter(({ type }) => type === 'blob'));
  const found = Object.fromEntries(
    Object.entries(treeOnDisk(root, revision.length === 64 ? 'sha256' : 'sha1')).filter(([, { mode }]) => mode !== '40000'),
  );
  assert.deepEqual(found, listed);
}

function assertListed(source: string, revision: string, entries: Awaited<ReturnType<Mirror['tree']>>): void {
  const lines = entries.map(({ mode, type, id, path: name }) => `${mode} ${type} ${id}\t${name.toString('utf8')}`);
  assert.deepEqual(
    lines,
    runGit(source, ['ls-tree', '-r', '-z', '--full-tree', revision])
      .split('\0')
      .filter((line) => line !== ''),
  );
}

/** This one, and any others that are at hand: `CROFT_TEST_REPOS=/path/to/one:/path/to/another`. */
const realRepos = [
  runGit(import.meta.dirname, ['rev-parse', '--show-toplevel']),
  ...(process.env['CROFT_TEST_REPOS'] ?? '').split(path.delimiter).filter((text) => text !== ''),
];

for (const [index, source] of realRepos.entries()) {
  test(`the tree of ${index === 0 ? 'this repository' : source} is exact`, async () => {
    await using place = createPlace();
    const mirror = await place.mirror(source);
    await mirror.fetch({});
    const revision = parseRevision(runGit(source, ['rev-parse', 'HEAD']));
    assertListed(source, revision, await mirror.tree(revision, {}));
    await assertExact(place, mirror, revision);
  });
}

for (const format of ['sha1', 'sha256']) {
  test(`a tree with links, modes, odd names, attributes and large files is exact (${format})`, async () => {
    await using place = createPlace();
    const source = path.join(place.dir, 'source');
    createRepo(source, `--object-format=${format}`);
    const { revision } = createOddRepo(source);
    const mirror = await place.mirror(source);
    await mirror.fetch({});
    assertListed(source, revision, await mirror.tree(revision, {}));
    await assertExact(place, mirror, revision);
  });
}

test('a clone of a clone with line-end settings gives the same bytes', async () => {
  await using place = createPlace();
  const { revision } = createOddRepo(path.join(place.dir, 'source'));
  const clone = path.join(place.dir, 'clone');
  runGit(place.dir, ['-c', 'core.autocrlf=true', 'clone', '--quiet', 'source', 'clone']);
  const mirror = await place.mirror(clone);
  await mirror.fetch({});
  await assertExact(place, mirror, revision);
});

test('an empty tree is an empty archive', async () => {
  await using place = createPlace();
  const repo = createRepo(path.join(place.dir, 'source'));
  const revision = repo.commit('nothing');
  const mirror = await place.mirror(repo.dir);
  assert.deepEqual(await mirror.tree(revision, {}), []);
  assert.deepEqual(treeOnDisk(await unpacked(place, mirror.sourceTar(revision, {}, plain))), {});
});

/** outer -> lib (relative) -> deeper/inner (relative), all as bare repositories beside each other. */
function createNested(dir: string): { outer: Repo; revision: Revision } {
  const inner = createRepo(path.join(dir, 'inner'));
  inner.write('in', 'inner');
  inner.commit('inner');
  const lib = createRepo(path.join(dir, 'lib'));
  lib.git('submodule', '--quiet', 'add', '../inner', 'deeper/inner');
  lib.write('in lib', 'lib', 0o755);
  lib.commit('lib');
  const outer = createRepo(path.join(dir, 'outer'));
  outer.git('submodule', '--quiet', 'add', '../lib', 'libs/l');
  outer.write('top', 'top');
  const revision = outer.commit('outer');
  lib.write('in lib', 'moved on');
  lib.commit('not what outer records');
  return { outer, revision };
}

test('submodules are part of the tree at their recorded commits, or empty directories', async () => {
  await using place = createPlace();
  const { outer, revision } = createNested(place.dir);
  const mirror = await place.mirror(outer.dir);
  const root = await unpacked(place, mirror.sourceTar(revision, {}, { submodules: true, lfs: false }));
  const read = (name: string): string => fs.readFileSync(path.join(root, name), 'utf8');
  assert.deepEqual([read('top'), read('libs/l/in lib'), read('libs/l/deeper/inner/in')], ['top', 'lib', 'inner']);
  assert.equal(fs.statSync(path.join(root, 'libs/l/in lib')).mode & 0o111, 0o111);
  const bare = treeOnDisk(await unpacked(place, mirror.sourceTar(revision, {}, plain)));
  assert.deepEqual(Object.keys(bare).toSorted(), ['.gitmodules', 'libs/l', 'top']);
  assert.equal(bare['libs/l']?.mode, '40000');
});

test('a submodule that only the local clone still has is taken from there', async () => {
  await using place = createPlace();
  const { revision } = createNested(place.dir);
  fs.mkdirSync(path.join(place.dir, 'elsewhere'));
  runGit(place.dir, ['clone', '--quiet', '--recurse-submodules', 'outer', 'elsewhere/clone']);
  fs.rmSync(path.join(place.dir, 'lib'), { recursive: true });
  const mirror = await place.mirror(path.join(place.dir, 'elsewhere/clone'));
  const root = await unpacked(place, mirror.sourceTar(revision, {}, { submodules: true, lfs: false }));
  assert.equal(fs.readFileSync(path.join(root, 'libs/l/in lib'), 'utf8'), 'lib');
});

test('submodules that cannot be had say which and why', async () => {
  await using place = createPlace();
  const { outer, revision } = createNested(place.dir);
  runGit(place.dir, ['clone', '--quiet', 'outer', 'clone']);
  const clone = await place.mirror(path.join(place.dir, 'clone'));
  const mirror = await place.mirror(outer.dir, { name: 'other.git' });
  const fails = (from: Mirror, at: Revision, message: RegExp): Promise<void> =>
    assert.rejects(Array.fromAsync(from.sourceTar(at, {}, { submodules: true, lfs: false })), (error: Error & { hint?: string }) => {
      assert.match(error.message, message);
      assert.ok(error.hint);
      return true;
    });
  fs.rmSync(path.join(place.dir, 'lib'), { recursive: true });
  await fails(clone, revision, /submodule "libs\/l": .*lib is not there/);
  outer.git('config', '--file=.gitmodules', 'submodule.libs/l.url', 'ext::sh -c "touch /tmp/owned"');
  await fails(mirror, outer.commit('transport program'), /names a transport program, which is never run/);
  fs.rmSync(path.join(outer.dir, '.gitmodules'));
  await fails(mirror, outer.commit('no addresses'), /no \.gitmodules file/);
});

interface LfsRepo {
  readonly repo: Repo;
  readonly revision: Revision;
  readonly object: Buffer;
  /** Where git-lfs keeps an object below a git directory. */
  storeAt(gitDir: string): string;
}

function createLfsRepo(dir: string): LfsRepo {
  const object = Buffer.alloc(300_000, 'large file ');
  const oid = createHash('sha256').update(object).digest('hex');
  const pointer = `version https://git-lfs.github.com/spec/v1\noid sha256:${oid}\nsize ${object.length}\n`;
  const repo = createRepo(dir);
  repo.write('.gitattributes', '*.bin filter=lfs diff=lfs merge=lfs -text\nkept.bin -filter\n');
  for (const name of ['data/large.bin', 'kept.bin', 'example.txt']) repo.write(name, pointer);
  repo.git('config', 'filter.lfs.clean', 'cat');
  return {
    repo,
    revision: repo.commit('pointers'),
    object,
    storeAt: (gitDir) => path.join(gitDir, 'lfs/objects', oid.slice(0, 2), oid.slice(2, 4), oid),
  };
}

function store(at: string, object: Buffer): void {
  fs.mkdirSync(path.dirname(at), { recursive: true });
  fs.writeFileSync(at, object);
}

test('LFS objects of a local source replace the pointers that its attributes name', async () => {
  await using place = createPlace();
  const { repo, revision, object, storeAt } = createLfsRepo(path.join(place.dir, 'source'));
  store(storeAt(path.join(repo.dir, '.git')), object);
  const mirror = await place.mirror(repo.dir);
  const root = await unpacked(place, mirror.sourceTar(revision, {}, { submodules: false, lfs: true }));
  const size = (name: string): number => fs.statSync(path.join(root, name)).size;
  assert.ok(fs.readFileSync(path.join(root, 'data/large.bin')).equals(object));
  assert.ok(size('kept.bin') < 200 && size('example.txt') < 200);
  await assertExact(place, mirror, revision);
});

/** A directory with `git` and perhaps a `git-lfs`, as a search path. */
function programsWith(dir: string, gitLfs?: string): string {
  const bin = path.join(dir, 'bin');
  fs.mkdirSync(bin);
  for (const name of ['git', 'sh', 'mkdir', 'cp', 'dirname']) {
    const found = ['/usr/local/bin', '/usr/bin', '/bin', '/opt/homebrew/bin']
      .map((at) => path.join(at, name))
      .find((at) => fs.existsSync(at));
    if (found) fs.symlinkSync(found, path.join(bin, name));
  }
  if (gitLfs !== undefined) fs.writeFileSync(path.join(bin, 'git-lfs'), gitLfs, { mode: 0o755 });
  return bin;
}

test('without the objects and without git-lfs the error says what to do', async () => {
  await using place = createPlace();
  const { repo, revision, object, storeAt } = createLfsRepo(path.join(place.dir, 'source'));
  const mirror = await place.mirror(repo.dir, { path: programsWith(place.dir) });
  const read = (): Promise<unknown> => Array.fromAsync(mirror.sourceTar(revision, {}, { submodules: false, lfs: true }));
  await assert.rejects(read(), { code: 'unavailable', message: /not at the source and git-lfs is not installed/, hint: /Install git-lfs/ });
  store(storeAt(path.join(repo.dir, '.git')), Buffer.alloc(object.length, 'damaged'));
  await assert.rejects(read(), { code: 'unavailable', message: /"data\/large\.bin": the object in .* is damaged/ });
});

test('git-lfs fetches the objects that the source does not hold', async () => {
  await using place = createPlace();
  const { repo, revision, object, storeAt } = createLfsRepo(path.join(place.dir, 'source'));
  const kept = path.join(place.dir, 'object');
  fs.writeFileSync(kept, object);
  const target = storeAt(path.join(place.dir, 'mirror.git'));
  const script = `#!/bin/sh\n[ "$1 $2 $3" = "fetch origin ${revision}" ] && mkdir -p "$(dirname '${target}')" && cp '${kept}' '${target}'\n`;
  const mirror = await place.mirror(repo.dir, { path: programsWith(place.dir, script) });
  const root = await unpacked(place, mirror.sourceTar(revision, {}, { submodules: false, lfs: true }));
  assert.ok(fs.readFileSync(path.join(root, 'data/large.bin')).equals(object));
});

test('a reader who stops in the middle, or is aborted, disturbs nobody', async () => {
  await using place = createPlace();
  const { revision } = createOddRepo(path.join(place.dir, 'source'));
  const mirror = await place.mirror(path.join(place.dir, 'source'));
  await mirror.fetch({});
  const stopped = async (): Promise<void> => {
    for await (const _ of mirror.sourceTar(revision, {}, plain)) return;
  };
  const aborted = async (): Promise<void> => {
    const controller = new AbortController();
    const reading = async (): Promise<void> => {
      for await (const _ of mirror.sourceTar(revision, { signal: controller.signal }, plain))
        controller.abort(new Error('no longer wanted'));
    };
    await assert.rejects(reading(), { message: 'no longer wanted' });
  };
  const whole = (): Promise<void> => assertExact(place, mirror, revision);
  await Promise.all([stopped(), aborted(), whole(), stopped(), aborted(), whole(), ...Array.from({ length: 9 }, stopped)]);
  await whole();
});

test('a tree made to lead out of the directory is refused', async () => {
  await using place = createPlace();
  const repo = createRepo(path.join(place.dir, 'source'));
  repo.write('a', 'a');
  repo.commit('a');
  const blob = Buffer.from(repo.git('rev-parse', 'HEAD:a'), 'hex');
  const mirror = await place.mirror(repo.dir);
  for (const name of ['..', '.git', 'a/b', '.']) {
    const tree = runGit(
      repo.dir,
      ['hash-object', '-t', 'tree', '-w', '--stdin', '--literally'],
      Buffer.concat([Buffer.from(`100644 ${name}\0`), blob]),
    );
    repo.git('update-ref', 'refs/heads/main', repo.git('commit-tree', tree, '-m', 'bad'));
    const revision = parseRevision(repo.git('rev-parse', 'refs/heads/main'));
    await assert.rejects(Array.fromAsync(mirror.sourceTar(revision, {}, plain)), {
      code: 'invalid',
      message: /which no checkout may have/,
    });
  }
});

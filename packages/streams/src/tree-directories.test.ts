import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import fs from 'node:fs';
import { mkdtemp, realpath, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { isCode } from '@croft/runtime/errors';
import { packTarGz, type TarEntry } from './tar-pack.ts';
import { unpackTarGz } from './tar-unpack.ts';
import { openDirectories } from './tree-directories.ts';

const linux = process.platform === 'linux' ? {} : { skip: 'names below an open directory are known on Linux only' };

interface Place extends AsyncDisposable {
  readonly root: string;
  readonly outside: string;
}

async function openPlace(): Promise<Place> {
  const dir = await realpath(await mkdtemp(join(tmpdir(), 'croft-tree-')));
  const [root, outside] = [join(dir, 'root'), join(dir, 'outside')];
  for (const made of [root, outside]) fs.mkdirSync(made);
  return { root, outside, [Symbol.asyncDispose]: () => rm(dir, { recursive: true, force: true }) };
}

/** Exchanges a directory for a link to another place and back, as fast as it can, until it is killed. */
const swapper = `
  const fs = require('node:fs');
  const [root, outside] = process.argv.slice(1);
  process.chdir(root);
  fs.symlinkSync(outside, 'link');
  process.stdout.write('ready');
  const quietly = (act) => { try { act(); } catch {} };
  for (let round = 0; ; round += 1) {
    quietly(() => fs.renameSync('a/b', 'gone-' + round));
    quietly(() => fs.renameSync('link', 'a/b'));
    quietly(() => fs.renameSync('a/b', 'link'));
    quietly(() => fs.mkdirSync('a/b'));
  }`;

async function* archive(round: number): AsyncGenerator<TarEntry> {
  for (let file = 0; file < 40; file += 1) {
    const content = Buffer.from('content');
    const entry = { kind: 'file', mode: 0o644, mtime: 0, size: content.length, content } as const;
    yield { ...entry, path: Buffer.from(`a/b/${round}-${file}`) };
    yield { ...entry, path: Buffer.from(`a/beside-${file % 2}`) }; // so that each time the way is found anew
  }
}

test('nothing leaves the tree, whatever a running command exchanges for a link meanwhile', linux, async () => {
  await using place = await openPlace();
  fs.mkdirSync(join(place.root, 'a/b'), { recursive: true });
  const child = spawn(process.execPath, ['-e', swapper, place.root, place.outside], { stdio: ['ignore', 'pipe', 'inherit'] });
  const ended = once(child, 'exit');
  try {
    await once(child.stdout, 'data');
    let met = 0;
    for (let round = 0; round < 150; round += 1) {
      const options = { now: Infinity, rootIsReal: true };
      await unpackTarGz(packTarGz(archive(round)), place.root, options).catch(() => (met += 1));
    }
    assert.ok(met > 0, 'the link was met');
  } finally {
    child.kill('SIGKILL');
    await ended;
  }
  assert.deepEqual(fs.readdirSync(place.outside), []);
});

test('a root that was exchanged for a link is not written to', linux, async () => {
  await using place = await openPlace();
  fs.rmdirSync(place.root);
  fs.symlinkSync(place.outside, place.root);
  const unpacked = unpackTarGz(packTarGz(archive(0)), place.root, { now: Infinity, rootIsReal: true });
  await assert.rejects(unpacked, (error) => isCode(error, 'conflict'));
  assert.deepEqual(fs.readdirSync(place.outside), []);
});

test('directories are made, entered without a permission to read them, and told by their own names in failures', linux, async () => {
  await using place = await openPlace();
  const directories = openDirectories(place.root, { isReal: true });
  try {
    directories.make('a/b/c');
    directories.make('a/d');
    assert.deepEqual([directories.isDirectory('a/b'), directories.isDirectory('a/x')], [true, false]);
    fs.chmodSync(join(place.root, 'a'), 0o311);
    fs.writeFileSync(directories.at('a/b/file'), 'x');
    assert.equal(fs.readFileSync(join(place.root, 'a/b/file'), 'utf8'), 'x');
    const failure = thrown(() => fs.openSync(directories.at('a/b/none'), 'r'));
    directories.name(failure);
    assert.equal(failure.message, `ENOENT: no such file or directory, open '${join(place.root, 'a/b/none')}'`);
    assert.throws(() => directories.make('a/b/file/x'), { code: 'EEXIST' });
    fs.symlinkSync('b', join(place.root, 'a/link'));
    for (const path of ['a/link', 'a/link/c']) assert.throws(() => directories.make(path), { fields: { link: 'a/link' } });
  } finally {
    directories.close();
  }
});

test('a depth that nobody needs is refused, and no directory stays open', linux, async () => {
  await using place = await openPlace();
  const before = fs.readdirSync('/proc/self/fd').length;
  const deep = async function* (depth: number): AsyncGenerator<TarEntry> {
    yield { kind: 'directory', path: Buffer.from('d/'.repeat(depth)) };
  };
  await unpackTarGz(packTarGz(deep(256)), place.root, { now: Infinity });
  await assert.rejects(unpackTarGz(packTarGz(deep(257)), place.root, { now: Infinity }), {
    message: 'more than 256 directories lie in each other',
  });
  assert.equal(fs.readdirSync('/proc/self/fd').length, before);
});

function thrown(act: () => void): Error {
  try {
    act();
  } catch (error) {
    return error as Error;
  }
  throw new Error('nothing was thrown');
}

/** `/tgz`: what a machine's work directory holds, whole or by patterns. buildlet.md 1.6. */
import assert from 'node:assert/strict';
import { execFile, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { mkdir, mkdtemp, readFile, readdir, readlink, rm, stat, symlink, truncate, writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import { tmpdir, userInfo } from 'node:os';
import { dirname, join } from 'node:path';
import { after, before, test } from 'node:test';
import { promisify } from 'node:util';
import { gunzipSync } from 'node:zlib';
import { packTarGz, type TarEntry } from '@croft/streams/tar-pack';
import { readTarGz } from '@croft/streams/tar-read';
import { unpackTarGz } from '@croft/streams/tar-unpack';
import fc from 'fast-check';
import { ask, complete, shell, startMachine, withCode, type TestMachine } from '../testing.ts';
import { treeEntries } from './read-tree.ts';

let machine: TestMachine;
before(async () => void (machine = await startMachine()));
after(() => machine[Symbol.asyncDispose]());

const { signal } = new AbortController();
const limits = { maxBytes: 1e9, maxEntries: 100_000 };
const work = (...names: string[]): string => join(machine.process.workDir, ...names);

async function put(path: string, content: string | Buffer): Promise<void> {
  await mkdir(dirname(work(path)), { recursive: true });
  await writeFile(work(path), content);
}

/** What no compression makes smaller. */
function noise(length: number): Buffer {
  const bytes = Buffer.alloc(length);
  for (let at = 0, state = 1; at < length; at += 1) bytes[at] = (state = (Math.imul(state, 1103515245) + 12345) >>> 0) >>> 24;
  return bytes;
}

async function namesIn(dir: string, match: string[] = []): Promise<string[]> {
  return Array.fromAsync(readTarGz(machine.client.getTarGz(dir, match, 1, { gzipLevel: 0 }), limits), ({ header }) => header.name);
}

test('a directory comes back as it is: modes, times, links, empty directories, any size, in order', async () => {
  const large = Buffer.alloc(3_000_001, 'large ');
  await put('all/b/large', large);
  await put('all/a.txt', 'A');
  await put('all/b-', '');
  await mkdir(work('all/empty'));
  await symlink('../a.txt', work('all/b/link'));
  await complete(machine.client, 'modes', shell('chmod 750 all/a.txt && touch -d @1000000000 all/a.txt'));
  assert.deepEqual(await namesIn('all'), ['a.txt', 'b/', 'b/large', 'b/link', 'b-', 'empty/']);
  for (const gzipLevel of [0, 1]) {
    const to = await mkdtemp(join(tmpdir(), 'croft-tgz-'));
    try {
      await unpackTarGz(machine.client.getTarGz('all', [], 1, { gzipLevel }), to, { now: Infinity });
      assert.deepEqual(await readFile(join(to, 'b/large')), large);
      assert.equal(await readlink(join(to, 'b/link')), '../a.txt');
      const { mode, mtimeMs } = await stat(join(to, 'a.txt'));
      assert.deepEqual([mode & 0o777, mtimeMs], [0o750, 1_000_000_000_000]);
      assert.deepEqual(await readdir(join(to, 'empty')), []);
    } finally {
      await rm(to, { recursive: true });
    }
  }
});

async function* whole(archive: Buffer): AsyncGenerator<Buffer> {
  yield archive;
}

/** Around the sizes of which several come together, and at which a file is read in pieces. */
const sizes = fc.constantFrom<number[]>(0, 1, 511, 512, 513, 5_000, 65_535, 65_536, 65_537, 150_000, 1_100_000);

test('files of any sizes in a row come back with their own contents, and gzip finds nothing wrong with the archive', async () => {
  const trees = fc.array(sizes, { minLength: 1, maxLength: 60 });
  const property = fc.asyncProperty(trees, fc.constantFrom(0, 1, 'usual' as const), async (tree, level) => {
    const dir = await mkdtemp(join(tmpdir(), 'croft-sizes-'));
    try {
      const contents = new Map(
        tree.map((size, at): [string, Buffer] => [`${at % 3 ? 'é' : 'd'}${at}`, Buffer.alloc(size, `${at} of ${size} `)]),
      );
      for (const [name, content] of contents) await writeFile(join(dir, name), content);
      const packed = Buffer.concat(await Array.fromAsync(packTarGz(treeEntries(dir, { match: [], signal }), { level })));
      assert.equal(spawnSync('gzip', ['-t'], { input: packed }).status, 0);
      for await (const { header, content } of readTarGz(whole(packed), limits)) {
        const name = Buffer.from(header.name, 'latin1').toString();
        assert.ok(Buffer.concat(await Array.fromAsync(content)).equals(contents.get(name) ?? assert.fail(name)), name);
        contents.delete(name);
      }
      assert.equal(contents.size, 0);
    } finally {
      await rm(dir, { recursive: true });
    }
  });
  await fc.assert(property, {
    numRuns: 15,
    examples: [[[1, 150_000, 5_000, 65_536, 1_100_000, 1, ...Array.from({ length: 300 }, () => 600)], 1]],
  });
});

test('what only a system has comes with its type, everything with owner and rounded time; patterns leave the former out', async () => {
  await put('odd/file', 'x');
  const asRoot = process.getuid?.() === 0;
  const made = ['mkfifo -m 640 odd/fifo', 'mkdir -m 1777 odd/d', 'ln -s x odd/link'];
  if (asRoot) made.push('mknod -m 600 odd/block b 259 70000', 'mknod -m 666 odd/char c 1 3', 'chown 3000000:1 odd/file');
  made.push('chmod 4755 odd/file', 'touch -h -d @1500000000.6 odd/*', 'touch -h -d @-10.5 odd/link');
  await complete(machine.client, 'odd', shell(made.join(' && ')));
  const packed = Buffer.concat(await Array.fromAsync(machine.client.getTarGz('odd', [], 1, { gzipLevel: 6 })));
  const listed = spawnSync('tar', ['-tvzf', '-', '--full-time', '--utc'], { input: packed }).stdout.toString();
  const me = asRoot ? 'root/root' : `${userInfo().username}/.*`;
  const lines = [
    ...(asRoot ? ['brw------- root/root 259,70000 2017-07-14 02:40:01 block', 'crw-rw-rw- root/root 1,3 2017-07-14 02:40:01 char'] : []),
    `drwxrwxrwt ${me} 0 2017-07-14 02:40:01 d/`,
    `prw-r----- ${me} 0 2017-07-14 02:40:01 fifo`,
    `-rwsr-xr-x ${asRoot ? '3000000/daemon' : me} 1 2017-07-14 02:40:01 file`,
    `lrwxrwxrwx ${me} 0 1969-12-31 23:59:50 link -> x`,
  ];
  assert.match(listed.replaceAll(/ +/g, ' '), new RegExp(`^${lines.join('\n')}\n$`));
  assert.deepEqual(await namesIn('odd', ['**']), ['d/', 'file', 'link']);
});

test('a socket aborts an archive of everything: with a status before the first byte, and by a cut behind it', async () => {
  await put('sock/a', 'a');
  const server = createServer().listen(work('sock/z'));
  await once(server, 'listening');
  try {
    const answer = await ask(machine.process, { path: '/tgz?dir=sock' });
    assert.deepEqual([answer.status, answer.body], [500, `Walk error: archive/tar: sockets not supported: ${work('sock/z')}\n`]);
    assert.deepEqual(await namesIn('sock', ['**']), ['a']);
    await put('sock/large', noise(9_000_000));
    await assert.rejects(ask(machine.process, { path: '/tgz?dir=sock' }), { code: 'ECONNRESET' });
  } finally {
    server.close();
  }
});

test('a base that is no directory is one entry without a name', async () => {
  await put('alone/file', 'content');
  const entries = Array.fromAsync(
    readTarGz(machine.client.getTarGz('alone/file', [], 1, { gzipLevel: 1 }), limits),
    async ({ header, content }) => [header.name, header.type, Buffer.concat(await Array.fromAsync(content)).toString()],
  );
  assert.deepEqual(await entries, [['', '0', 'content']]);
});

test('what a step has closed is left out where patterns select, and the rest comes', async () => {
  for (const path of ['a', 'closed', 'locked/inner', 'z']) await put(`shut/${path}`, path);
  await complete(machine.client, 'close', shell('chmod 000 shut/closed shut/locked'));
  try {
    assert.deepEqual(await namesIn('shut', ['**']), ['a', 'locked/', 'z']);
  } finally {
    await complete(machine.client, 'open', shell('chmod 700 shut/closed shut/locked'));
  }
});

test('patterns select files and whole directories, and the rest is not read', async () => {
  for (const path of ['out/app', 'out/lib/x.so', 'out/tmp/y', 'reports/a.xml', 'reports/a.txt', 'node_modules/m/reports/b.xml'])
    await put(`by/${path}`, path);
  assert.deepEqual(await namesIn('by', ['out', '!out/tmp', 'reports/*.xml']), [
    'out/',
    'out/app',
    'out/lib/',
    'out/lib/x.so',
    'reports/a.xml',
  ]);
  assert.deepEqual(await namesIn('by', ['**/*.xml', '!node_modules']), ['reports/a.xml']);
  assert.deepEqual(await namesIn('by', ['nothing']), []);
});

test('the system’s tar reads it, and Go’s way of asking is answered', async () => {
  await put('plain/one', '1');
  const { stdout } = await promisify(execFile)(
    'curl',
    [
      '-s',
      '-u',
      `:${machine.process.address.password}`,
      '--unix-socket',
      machine.process.address.socketPath ?? '',
      'http://x/tgz?dir=plain&pargzip=0',
    ],
    { encoding: 'buffer' },
  );
  assert.equal(gunzipSync(stdout).subarray(0, 3).toString(), 'one');
  const answer = await ask(machine.process, { path: '/tgz?dir=plain' });
  assert.deepEqual([answer.status, answer.headers['content-type']], [200, 'application/x-gzip']);
  assert.deepEqual(await ask(machine.process, { path: '/tgz', method: 'POST' }).then(({ status, body }) => [status, body]), [
    400,
    'requires GET method\n',
  ]);
  assert.equal((await ask(machine.process, { path: '/tgz?dir=none' })).status, 500);
  assert.equal((await ask(machine.process, { path: '/tgz?dir=..' })).status, 400);
});

test('nothing outside of the work directory is read through a link', async () => {
  const outside = await mkdtemp(join(tmpdir(), 'croft-secret-'));
  try {
    await writeFile(join(outside, 'secret'), 'secret');
    await mkdir(work('sly'));
    await symlink(outside, work('sly/way-out'));
    await symlink(join(outside, 'secret'), work('sly/secret'));
    const found = Array.fromAsync(readTarGz(machine.client.getTarGz('sly', [], 1, { gzipLevel: 0 }), limits), ({ header }) => [
      header.name,
      header.type,
      header.size,
    ]);
    assert.deepEqual(await found, [
      ['secret', '2', 0],
      ['way-out', '2', 0],
    ]);
    assert.deepEqual(await namesIn('sly/way-out'), ['']);
    await assert.rejects(namesIn('sly/way-out/secret'), withCode('invalid'));
  } finally {
    await rm(outside, { recursive: true });
  }
});

test('without the source that is asked for, without the directory and under an old lease there is no archive', async () => {
  await put('now/here', 'x');
  const get = (dir: string, epoch: number, source?: string) =>
    Array.fromAsync(machine.client.getTarGz(dir, [], epoch, { gzipLevel: 0, source }));
  await assert.rejects(get('now', 1, 'B0123456789abcdef.1'), withCode('conflict'));
  await assert.rejects(get('never', 1), withCode('not-found'));
  await get('now', 2);
  await assert.rejects(get('now', 1), withCode('stale'));
});

test('an archive is cut, and never ended early, when its holder loses the lease or a file becomes shorter', async () => {
  await put('long/file', Buffer.alloc(0));
  await truncate(work('long/file'), 60_000_000);
  const cutBy = async (act: () => Promise<void>): Promise<void> => {
    const archive = machine.client.getTarGz('long', [], 3, { gzipLevel: 0 });
    for (let came = 0; came < 1_000_000;) came += (await archive.next()).value?.length ?? assert.fail('it ended');
    await act();
    await assert.rejects(async () => void (await Array.fromAsync(archive)), withCode('unavailable'));
  };
  await cutBy(() => truncate(work('long/file'), 100));
  await truncate(work('long/file'), 60_000_000);
  await cutBy(() => machine.client.removeAll(['other'], 4, {}));
});

/** Acts when an entry of that name was listed, and has not been packed. */
async function* listedThen(
  name: string,
  act: () => Promise<unknown>,
  root: string,
  told: () => undefined,
): AsyncGenerator<readonly TarEntry[]> {
  for await (const together of treeEntries(root, { match: [], onGone: told, signal })) {
    if (together.some(({ path }) => path.toString() === name)) await act();
    yield together;
  }
}

async function packedWhen(
  root: string,
  name: string,
  act: () => Promise<unknown>,
): Promise<{ files: Record<string, number>; gone: number }> {
  let gone = 0;
  const packed = packTarGz(listedThen(name, act, root, () => void (gone += 1)));
  const files = await Array.fromAsync(readTarGz(packed, limits), async ({ header, content }): Promise<[string, number]> => [
    header.name,
    Buffer.concat(await Array.fromAsync(content)).length,
  ]);
  return { files: Object.fromEntries(files), gone };
}

/** A directory with these files, by size. */
async function treeOf(files: Readonly<Record<string, number>>): Promise<AsyncDisposable & { readonly root: string }> {
  const root = await mkdtemp(join(tmpdir(), 'croft-moving-'));
  for (const [name, size] of Object.entries(files)) {
    await mkdir(dirname(join(root, name)), { recursive: true });
    await writeFile(join(root, name), Buffer.alloc(size, 'x'));
  }
  return { root, [Symbol.asyncDispose]: () => rm(root, { recursive: true }) };
}

const large = 200_000;

test('what goes away or becomes another kind after it was listed is left out, and told', async () => {
  const changes: Record<string, string[]> = {
    'is removed': ['rm', 'b'],
    'becomes a directory': ['sh', '-c', 'rm b && mkdir b'],
    'becomes a link': ['ln', '-sf', 'a', 'b'],
    'becomes a fifo': ['sh', '-c', 'rm b && mkfifo b'],
  };
  for (const [change, [program = '', ...args]] of Object.entries(changes)) {
    for (const size of [0, 100, large]) {
      await using tree = await treeOf({ a: 1, b: size, c: 3 });
      const act = () => promisify(execFile)(program, args, { cwd: tree.root });
      const { files, gone } = await packedWhen(tree.root, 'a', act);
      assert.deepEqual([files, gone], [{ a: 1, c: 3 }, 1], `${size} bytes, ${change}`);
    }
  }
});

test('a directory or link that goes away in the middle of the walk leaves the rest of the archive whole', async () => {
  const before = Object.fromEntries(Array.from({ length: 127 }, (_, at) => [`a${String(at).padStart(3, '0')}`, 1])); // others have their turn at the 128th
  for (const [what, change] of [
    ['directory', 'rm -r b'],
    ['directory', 'rm -r b && echo > b'],
    ['link', 'rm b'],
    ['link', 'rm b && echo > b'],
  ] as const) {
    await using tree = await treeOf({ ...before, ...(what === 'directory' ? { 'b/x': 1 } : {}), c: 3 });
    if (what === 'link') await symlink('c', join(tree.root, 'b'));
    const { files, gone } = await packedWhen(tree.root, 'a000', () => promisify(execFile)('sh', ['-c', change], { cwd: tree.root }));
    const { 'b/': told, ...others } = files;
    assert.deepEqual([others, gone], [{ ...before, c: 3 }, 1], `${what}: ${change}`);
    assert.equal(told, what === 'directory' ? 0 : undefined);
  }
});

test('a file that becomes shorter or longer before it is opened comes as it is then, at most as long as a small one was', async () => {
  for (const [from, to, packed] of [
    [1_000, 10, 10],
    [1_000, 2_000, 1_000],
    [large, 10, 10],
    [large, large * 2, large * 2],
  ] as const) {
    await using tree = await treeOf({ a: 1, b: from, c: 3 });
    const { files, gone } = await packedWhen(tree.root, 'a', () => truncate(join(tree.root, 'b'), to));
    assert.deepEqual([files, gone], [{ a: 1, b: packed, c: 3 }, 0], `from ${from} to ${to}`);
  }
});

test('an archive from which something was left out says so in the log', async () => {
  for (let at = 0; at < 30; at += 1) await put(`leaving/${String(at).padStart(2, '0')}`, noise(1_000_000));
  const names: string[] = [];
  for await (const { header } of readTarGz(machine.client.getTarGz('leaving', [], 5, { gzipLevel: 0 }), limits)) {
    if (names.push(header.name) === 1) await rm(work('leaving/29'));
  }
  assert.deepEqual([names.length, names.at(-1)], [29, '28']);
  assert.match(await machine.process.log(), /"dir":"leaving","leftOut":1,.*"archive packed in part"/);
});

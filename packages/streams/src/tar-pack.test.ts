import { test } from 'node:test';
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { gunzipSync } from 'node:zlib';
import fc from 'fast-check';
import { packTarGz, type TarEntry } from './tar-pack.ts';
import { formatHeader, parseHeader, splitName } from './tar-header.ts';
import { unpackTarGz } from './tar-unpack.ts';

const now = Date.UTC(2026, 0, 1);

function tempDir(): { dir: string } & Disposable {
  const dir = fs.mkdtempSync(path.join(os.tmpdir(), 'croft-tar-'));
  return { dir, [Symbol.dispose]: () => fs.rmSync(dir, { recursive: true, force: true }) };
}

async function packed(entries: TarEntry[], level = 1): Promise<Buffer> {
  const source = async function* (): AsyncGenerator<TarEntry> {
    yield* entries;
  };
  return Buffer.concat(await Array.fromAsync(packTarGz(source(), { level })));
}

async function* cut(bytes: Buffer, size: number): AsyncGenerator<Buffer> {
  for (let at = 0; at < bytes.length; at += size) yield bytes.subarray(at, at + size);
}

type Node = { mode: number; mtime: number; content: string } | { target: string } | 'directory';

/** What is below a directory, by name as a byte string. */
function treeOf(root: string): Record<string, Node> {
  const nodes: Record<string, Node> = {};
  const walk = (dir: Buffer, prefix: string): void => {
    for (const name of fs.readdirSync(dir, { encoding: 'buffer' })) {
      const at = Buffer.concat([dir, Buffer.from('/'), name]);
      const key = prefix + name.toString('latin1');
      const found = fs.lstatSync(at);
      if (found.isDirectory()) {
        nodes[key] = 'directory';
        walk(at, `${key}/`);
      } else if (found.isSymbolicLink()) nodes[key] = { target: fs.readlinkSync(at, { encoding: 'buffer' }).toString('latin1') };
      else nodes[key] = { mode: found.mode & 0o777, mtime: found.mtimeMs / 1000, content: fs.readFileSync(at, 'base64') };
    }
  };
  walk(Buffer.from(root), '');
  return nodes;
}

function expected(entries: TarEntry[]): Record<string, Node> {
  const nodes: Record<string, Node> = {};
  for (const entry of entries) {
    const name = entry.path.toString('latin1');
    const parts = name.split('/');
    for (let depth = 1; depth < parts.length; depth += 1) nodes[parts.slice(0, depth).join('/')] ??= 'directory';
    if (entry.kind === 'directory') nodes[name] = 'directory';
    else if (entry.kind === 'link') nodes[name] = { target: entry.target.toString('latin1') };
    else if (entry.kind === 'file')
      nodes[name] = { mode: entry.mode & ~process.umask(), mtime: entry.mtime, content: (entry.content as Buffer).toString('base64') };
  }
  return nodes;
}

const nameBytes = fc.oneof(
  fc
    .constantFrom(
      'a',
      '-rf',
      'new\nline',
      'tab\t',
      'quote"\'',
      'back\\slash',
      ' ',
      'ünïcode',
      '日本',
      '...',
      '~',
      '*',
      '-'.repeat(99),
      'x'.repeat(100),
      'y'.repeat(200),
    )
    .map((text) => Buffer.from(text)),
  fc.uint8Array({ minLength: 1, maxLength: 24 }).map((raw) => Buffer.from(raw.map((byte) => (byte === 0 || byte === 0x2f ? 0xff : byte)))),
);
const paths = fc
  .array(nameBytes, { minLength: 1, maxLength: 4 })
  .filter((parts) => parts.every((part) => part.toString('latin1') !== '.' && part.toString('latin1') !== '..'))
  .map((parts) => Buffer.concat(parts.flatMap((part, at) => (at === 0 ? [part] : [Buffer.from('/'), part]))));
const bodies = fc.oneof(
  fc.uint8Array({ maxLength: 1200 }).map((raw) => Buffer.from(raw)),
  fc.constant(Buffer.alloc(300_000, 'log line\n')),
);
const entryOf = (at: Buffer): fc.Arbitrary<TarEntry> =>
  fc.oneof(
    {
      weight: 4,
      arbitrary: fc
        .tuple(bodies, fc.constantFrom(0o644, 0o755, 0o600), fc.nat(1_700_000_000))
        .map(([content, mode, mtime]): TarEntry => ({ kind: 'file', path: at, mode, mtime, size: content.length, content })),
    },
    { weight: 1, arbitrary: paths.map((target): TarEntry => ({ kind: 'link', path: at, target })) },
    { weight: 1, arbitrary: fc.constant<TarEntry>({ kind: 'directory', path: at }) },
  );
/** Entries with distinct names, none of which is below a file or a link. */
const archives = fc
  .uniqueArray(paths, { maxLength: 12, selector: (at) => at.toString('latin1') })
  .map((all) => {
    const names = all.map((at) => at.toString('latin1'));
    return all.filter((_, index) => !names.some((other) => other.startsWith(`${names[index]}/`)));
  })
  .chain((all) => fc.tuple(...all.map(entryOf)));

test('entries that are given together are packed as one by one', async () => {
  const given = async function* (entries: TarEntry[]): AsyncGenerator<readonly TarEntry[]> {
    yield entries;
  };
  const property = fc.asyncProperty(archives, fc.constantFrom(0, 1), async (entries, level) => {
    const together = Buffer.concat(await Array.fromAsync(packTarGz(given(entries), { level })));
    assert.ok(gunzipSync(together).equals(gunzipSync(await packed(entries, level))));
  });
  await fc.assert(property, { numRuns: 20 });
});

test('contents that are read to where they are compressed are packed as others; what has become shorter has the size it was read with', async () => {
  const property = fc.asyncProperty(archives, fc.constantFrom(0, 1), fc.nat(300_000), async (entries, level, most) => {
    const shorter = entries.map((entry) => {
      if (entry.kind !== 'file') return entry;
      const content = (entry.content as Buffer).subarray(0, most);
      return { ...entry, size: content.length, content };
    });
    const read = shorter.map((entry, at): TarEntry => {
      if (entry.kind !== 'file') return entry;
      const { size } = entries[at] as typeof entry;
      return { ...entry, size, content: (memory, from) => entry.content.copy(memory, from) };
    });
    assert.ok(gunzipSync(await packed(read, level)).equals(gunzipSync(await packed(shorter, level))));
  });
  await fc.assert(property, { numRuns: 25 });
});

test('a name that fits is divided at its directory, and read as it was', () => {
  const part = fc.string({ unit: fc.constantFrom('a', '.', '-'), minLength: 1, maxLength: 70 });
  const property = fc.property(fc.array(part, { minLength: 1, maxLength: 5 }), fc.constantFrom('', '/'), (parts, end) => {
    const name = parts.join('/') + end;
    const split = splitName(name);
    if (!split) return assert.ok(name.length > 100);
    assert.equal(split.prefix ? `${split.prefix}/${split.name}` : split.name, name);
    assert.ok(split.name.length <= 100 && split.prefix.length <= 155);
    const header = { name, type: end ? '5' : '0', mode: 0o4755, size: 8 ** 11 - 1, mtime: 1e9, target: '' };
    assert.deepEqual(parseHeader(formatHeader(header)), header);
  });
  fc.assert(property);
  assert.deepEqual(splitName('a/b/c/'), { prefix: 'a/b', name: 'c/' });
  assert.throws(() => formatHeader({ name: 'a', type: '0', mode: 0, size: 8 ** 11, mtime: 0, target: '' }), { code: 'invalid' });
  assert.throws(() => formatHeader({ name: 'a', type: '0', mode: 0, size: 0, mtime: -1, target: '' }), { code: 'invalid' });
});

test('what is packed is what is unpacked: any names, modes, links and content, cut anywhere', async () => {
  await fc.assert(
    fc.asyncProperty(archives, fc.integer({ min: 0, max: 9 }), fc.integer({ min: 1, max: 5000 }), async (entries, level, size) => {
      using temp = tempDir();
      const result = await unpackTarGz(cut(await packed(entries, level), size), temp.dir, { now });
      assert.deepEqual(treeOf(temp.dir), expected(entries));
      assert.equal(result.entries, entries.length);
    }),
    { numRuns: 25 },
  );
});

test('the system tar unpacks what is packed', async () => {
  using temp = tempDir();
  const file = (name: string | Buffer, content: string, mode = 0o644): TarEntry => ({
    kind: 'file',
    path: Buffer.from(name as string),
    mode,
    mtime: 1_000_000_000,
    size: Buffer.byteLength(content),
    content: Buffer.from(content),
  });
  const entries: TarEntry[] = [
    file('plain', 'plain'),
    file('-rf', 'dash', 0o755),
    file('new\nline"\t', 'odd'),
    file(Buffer.from([0x66, 0xff, 0xfe]), 'not UTF-8'),
    file('ünï/日本', 'unicode'),
    file(`${'d'.repeat(90)}/${'e'.repeat(90)}`, 'prefix'),
    file(`${'d'.repeat(120)}/${'e'.repeat(120)}/${'f'.repeat(120)}`, 'records'),
    file('empty', ''),
    { kind: 'link', path: Buffer.from('link'), target: Buffer.from('plain') },
    { kind: 'link', path: Buffer.from('long link'), target: Buffer.from('t'.repeat(180)) },
    { kind: 'directory', path: Buffer.from('bare') },
  ];
  const done = spawnSync('tar', ['xzf', '-', '-C', temp.dir, '--no-same-owner'], { input: await packed(entries) });
  assert.equal(done.status, 0, done.stderr.toString());
  assert.deepEqual(treeOf(temp.dir), expected(entries));
});

test('what the system tar packs is unpacked, in each of its formats', async () => {
  using source = tempDir();
  const names = [`${'deep/'.repeat(30)}file`, 'n'.repeat(150), 'ünï', 'new\nline'].map((name) => Buffer.from(name));
  for (const name of [...names, Buffer.from([0x66, 0xff])]) {
    const at = Buffer.concat([Buffer.from(`${source.dir}/`), name]);
    fs.mkdirSync(path.dirname(at.toString('latin1')), { recursive: true });
    fs.writeFileSync(at, name);
    fs.utimesSync(at, 1_000_000_000, 1_000_000_000);
  }
  fs.symlinkSync(`${'n'.repeat(150)}`, path.join(source.dir, 'to long'));
  for (const format of ['gnu', 'pax', 'posix']) {
    using temp = tempDir();
    const done = spawnSync('tar', ['czf', '-', `--format=${format}`, '-C', source.dir, '.'], { maxBuffer: 1e8 });
    assert.equal(done.status, 0);
    await unpackTarGz(cut(done.stdout, 100), temp.dir, { now });
    assert.deepEqual(treeOf(temp.dir), treeOf(source.dir), format);
  }
});

test('a content longer or shorter than its size stops the packing', async () => {
  for (const [size, amount] of [
    [2, 'more'],
    [5, 'only 3'],
  ] as const) {
    const entry: TarEntry = { kind: 'file', path: Buffer.from('a"b'), mode: 0o644, mtime: 0, size, content: Buffer.from('abc') };
    await assert.rejects(packed([entry]), {
      code: 'invalid',
      message: `packing "a\\"b": its size is ${size} bytes, but there were ${amount}`,
    });
  }
});

test('a failure of the entries reaches the reader', async () => {
  const entries = async function* (): AsyncGenerator<TarEntry> {
    yield { kind: 'directory', path: Buffer.from('d') };
    throw new Error('the source is gone');
  };
  await assert.rejects(Array.fromAsync(packTarGz(entries())), { message: 'the source is gone' });
});

test('a size above 8 GiB arrives whole', async () => {
  using temp = tempDir();
  const size = 8 * 1024 ** 3 + 5;
  const content = async function* (): AsyncGenerator<Buffer> {
    yield Buffer.alloc(1024 * 1024);
    throw new Error('far enough');
  };
  const entries = async function* (): AsyncGenerator<TarEntry> {
    yield { kind: 'file', path: Buffer.from('huge'), mode: 0o644, mtime: 0, size, content: content() };
  };
  const unpacked = (bytes: number): Promise<unknown> =>
    unpackTarGz(packTarGz(entries(), { level: 0 }), temp.dir, { now, limits: { bytes, entries: 1 } });
  await assert.rejects(unpacked(size - 1), { code: 'exhausted' });
  await assert.rejects(unpacked(size), { message: 'far enough' });
});

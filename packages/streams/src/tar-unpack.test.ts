import { test } from 'node:test';
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { gzipSync } from 'node:zlib';
import { quoteName } from './quote-name.ts';
import { formatHeader, formatPax, type TarHeader } from './tar-header.ts';
import { unpackTarGz, type Unpacked, type UnpackOptions } from './tar-unpack.ts';

const now = Date.UTC(2026, 0, 1);
const end = Buffer.alloc(1024);

interface Temp extends Disposable {
  /** Holds `root` and a file `outside`. */
  readonly dir: string;
  readonly root: string;
}

function temp(): Temp {
  const dir = fs.mkdtempSync(path.join(os.tmpdir(), 'croft-untar-'));
  const root = path.join(dir, 'root');
  fs.mkdirSync(root);
  fs.writeFileSync(path.join(dir, 'outside'), 'untouched');
  return { dir, root, [Symbol.dispose]: () => fs.rmSync(dir, { recursive: true, force: true }) };
}

function entry(name: string, fields: Partial<TarHeader> & { content?: string | Buffer } = {}): Buffer {
  const content = Buffer.from(fields.content ?? '');
  const { content: _, ...header } = fields;
  const head = formatHeader({ name, type: '0', mode: 0o644, size: content.length, mtime: 0, target: '', ...header });
  return Buffer.concat([head, content, Buffer.alloc(-content.length & 511)]);
}

function pax(records: Record<string, string>, type = 'x'): Buffer {
  return entry('pax', { type, content: formatPax(new Map(Object.entries(records))) });
}

function archive(...parts: Buffer[]): Buffer {
  return gzipSync(Buffer.concat([...parts, end]));
}

async function* stream(...pieces: Uint8Array[]): AsyncGenerator<Uint8Array> {
  yield* pieces;
}

function unpack(root: string, bytes: Buffer, options: Partial<UnpackOptions> = {}): Promise<Unpacked> {
  return unpackTarGz(stream(bytes), root, { now, ...options });
}

function refuses(bytes: Buffer, message: string | RegExp, code = 'invalid'): () => Promise<void> {
  return async () => {
    using at = temp();
    await assert.rejects(unpack(at.root, bytes), { code, message });
    assert.deepEqual(fs.readdirSync(at.dir).toSorted(), ['outside', 'root']);
    assert.equal(fs.readFileSync(path.join(at.dir, 'outside'), 'utf8'), 'untouched');
  };
}

const small = entry('a', { content: 'hello' });
const header = (name: string, type: string): Buffer => entry(name, { type });
const link = (name: string, target: string): Buffer => entry(name, { type: '2', target });
const hardLink = (name: string, target: string): Buffer => entry(name, { type: '1', target });

test('a body that is no gzip is refused', refuses(Buffer.from('no gzip at all'), 'requires gzip-compressed body: gzip: invalid header'));
test('a short body that is no gzip is refused', refuses(Buffer.from('no'), 'requires gzip-compressed body: gzip: invalid header'));
test('an empty body is refused', refuses(Buffer.alloc(0), 'requires gzip-compressed body: EOF'));
test('a truncated gzip is refused', refuses(archive(small).subarray(0, 40), 'tar error: unexpected EOF'));
test('a gzip without its trailer is refused', refuses(gzipSync(small).subarray(0, -4), 'tar error: unexpected EOF'));
test(
  'a gzip with a wrong checksum is refused',
  refuses(Buffer.concat([gzipSync(small).subarray(0, -8), Buffer.alloc(8)]), 'tar error: gzip: invalid checksum'),
);
test(
  'a damaged deflate stream is refused',
  refuses(Buffer.concat([archive(small).subarray(0, 10), Buffer.alloc(50, 0xff)]), /^tar error: flate: /),
);
test('a truncated tar is refused', refuses(gzipSync(small.subarray(0, 515)), 'tar error: unexpected EOF'));
test('a tar cut within a header is refused', refuses(gzipSync(small.subarray(0, 300)), 'tar error: unexpected EOF'));
test('a damaged header is refused', refuses(archive(Buffer.alloc(512, 'x')), 'tar error: archive/tar: invalid tar header'));
test(
  'bad PAX records are refused',
  refuses(archive(entry('p', { type: 'x', content: '99 path=x\n' }), small), 'tar error: archive/tar: invalid tar header'),
);
test(
  'a huge extended header is refused',
  refuses(archive(entry('p', { type: 'x', content: Buffer.alloc(2_000_000) })), /^tar error: .* larger than/),
);
test('a sparse file is refused', refuses(archive(pax({ 'GNU.sparse.major': '1' }), small), /sparse files are not supported/));

test('a name that climbs out is refused', refuses(archive(entry('../x')), 'tar file contained invalid name "../x"'));
test('a name that climbs out on the way is refused', refuses(archive(entry('a/../../x')), 'tar file contained invalid name "a/../../x"'));
test('an absolute name is refused', refuses(archive(entry('/x')), 'tar file contained invalid name "/x"'));
test('an empty name is refused', refuses(archive(entry('')), 'tar file contained invalid name ""'));
test('a file in place of the root is refused', refuses(archive(entry('./.')), 'tar file contained invalid name "./."'));
test('a directory that climbs out is refused', refuses(archive(header('d/../../e/', '5')), 'tar file contained invalid name "d/../../e/"'));
test('a fifo is refused', refuses(archive(header('ff', '6')), 'tar file entry ff contained unsupported file type prw-r--r--'));
test(
  'a character device is refused',
  refuses(archive(header('tty', '3')), 'tar file entry tty contained unsupported file type Dcrw-r--r--'),
);

test(
  'a link out of the tree is refused',
  refuses(archive(link('d/l', '../../outside')), 'tar file entry "d/l" is a link to "../../outside", which leads out of the tree'),
);
test('an absolute link is refused', refuses(archive(link('l', '/etc/passwd')), /is a link to "\/etc\/passwd", which leads out/));
test('an empty link is refused', refuses(archive(link('l', '')), /leads out of the tree/));
test(
  'a link that climbs out over another link is refused',
  refuses(
    archive(header('d/e/', '5'), link('d/e/up', '../..'), link('l', 'd/e/up/../outside')),
    /"l" is a link to "d\/e\/up\/\.\.\/outside", which leads out/,
  ),
);
test(
  'the same is refused when the other link comes later',
  refuses(archive(link('l', 'd/e/up/../outside'), header('d/e/', '5'), link('d/e/up', '../..')), /leads out of the tree/),
);
test(
  'a file through a link is refused',
  refuses(archive(header('d/', '5'), link('l', 'd'), entry('l/x')), 'tar file entry "l/x" goes through "l", which is a symbolic link'),
);
test('a directory through a link is refused', refuses(archive(link('l', '.'), header('l/x/', '5')), /goes through "l"/));
test(
  'a hard link out of the tree is refused',
  refuses(archive(hardLink('h', '../outside')), 'tar file entry "h" is a hard link to "../outside", which is not a file of the tree'),
);
test('a hard link to what is not there is refused', refuses(archive(hardLink('h', 'nothing')), /is not a file of the tree/));
test(
  'a hard link to a link is refused',
  refuses(archive(header('d/', '5'), link('d/l', '../a'), hardLink('h', 'd/l')), /is not a file of the tree/),
);
test(
  'a hard link through a link is refused',
  refuses(archive(entry('d/f'), link('l', 'd'), hardLink('h', 'l/f')), /is not a file of the tree/),
);

test('links that the machine already has below the root are not followed either', async () => {
  using at = temp();
  fs.symlinkSync('..', path.join(at.root, 'up'));
  fs.symlinkSync('../outside', path.join(at.root, 'a'));
  await assert.rejects(unpack(at.root, archive(entry('up/outside', { content: 'x' }))), /goes through "up"/);
  await unpack(at.root, archive(small));
  assert.equal(fs.readFileSync(path.join(at.root, 'a'), 'utf8'), 'hello');
  assert.ok(fs.lstatSync(path.join(at.root, 'a')).isFile());
  assert.equal(fs.readFileSync(path.join(at.dir, 'outside'), 'utf8'), 'untouched');
});

test('links inside the tree are made, also those that go down and up again', async () => {
  using at = temp();
  const links = { 'd/up': '../a', self: '.', dangling: 'nowhere/yet', 'd/round': '../d/../a' };
  await unpack(at.root, archive(...Object.entries(links).map(([name, target]) => link(name, target)), small, hardLink('d/hard', 'a')));
  for (const [name, target] of Object.entries(links)) assert.equal(fs.readlinkSync(path.join(at.root, name)), target);
  assert.equal(fs.statSync(path.join(at.root, 'd/hard')).ino, fs.statSync(path.join(at.root, 'a')).ino);
});

test('of several entries with one name the last one counts', async () => {
  using at = temp();
  await unpack(at.root, archive(small, link('a', 'b'), entry('a', { content: 'last' }), entry('b', { content: 'b' }), hardLink('a', 'b')));
  assert.equal(fs.readFileSync(path.join(at.root, 'a'), 'utf8'), 'b');
});

test('several gzip members are one stream, wherever they are cut', async () => {
  using at = temp();
  const plain = Buffer.concat([small, entry('b', { content: Buffer.alloc(100_000, 'b') }), end]);
  const members = [0, 7, 513, 70_000].map((from, index, all) => gzipSync(plain.subarray(from, all[index + 1])));
  const bytes = Buffer.concat(members);
  for (const size of [1, 333, bytes.length]) {
    const pieces = Array.from({ length: Math.ceil(bytes.length / size) }, (_, piece) => bytes.subarray(piece * size, (piece + 1) * size));
    assert.deepEqual(await unpackTarGz(stream(...pieces), at.root, { now }), { entries: 2, bytes: 100_005, untimed: 0, leftOut: 0 });
  }
});

test('bytes behind the end of the archive are ignored and read to their end', async () => {
  using at = temp();
  let drained = false;
  const source = async function* (): AsyncGenerator<Buffer> {
    yield Buffer.concat([archive(small), Buffer.from('garbage')]);
    yield Buffer.alloc(100_000, 'more');
    drained = true;
  };
  await unpackTarGz(source(), at.root, { now });
  assert.equal(fs.readFileSync(path.join(at.root, 'a'), 'utf8'), 'hello');
  await unpack(at.root, gzipSync(Buffer.concat([small, end, Buffer.alloc(5000, 'not tar')])));
  assert.ok(drained);
});

test('a gzip of nothing and a tar without its end are whole', async () => {
  using at = temp();
  assert.deepEqual(await unpack(at.root, gzipSync('')), { entries: 0, bytes: 0, untimed: 0, leftOut: 0 });
  assert.deepEqual(await unpack(at.root, gzipSync(small)), { entries: 1, bytes: 5, untimed: 0, leftOut: 0 });
});

test('a gzip header with name, comment, extra field and checksum is read', async () => {
  using at = temp();
  const plain = archive(small);
  const head = Buffer.from([0x1f, 0x8b, 8, 4 | 8 | 16 | 2, 0, 0, 0, 0, 0, 255, 3, 0, 1, 2, 3, 0x6e, 0, 0x63, 0, 9, 9]);
  await unpack(at.root, Buffer.concat([head, plain.subarray(10)]));
  assert.equal(fs.readFileSync(path.join(at.root, 'a'), 'utf8'), 'hello');
});

test('global records are skipped, long names of both kinds are read', async () => {
  using at = temp();
  const long = `${'l'.repeat(120)}/${'m'.repeat(120)}`;
  await unpack(
    at.root,
    archive(
      pax({ path: 'everything' }, 'g'),
      entry('one'),
      pax({ path: long }),
      entry('cut'),
      entry('L', { type: 'L', content: `gnu${long}\0` }),
      entry('cut'),
    ),
  );
  assert.deepEqual(fs.readdirSync(at.root).toSorted(), [`gnu${'l'.repeat(120)}`, 'l'.repeat(120), 'one'].toSorted());
});

test('modes lose their special bits and the umask, an existing file keeps its mode', async () => {
  using at = temp();
  const before = process.umask(0o027);
  try {
    fs.writeFileSync(path.join(at.root, 'kept'), 'longer than what comes');
    fs.chmodSync(path.join(at.root, 'kept'), 0o600);
    await unpack(at.root, archive(entry('set', { mode: 0o6777 }), entry('kept', { mode: 0o755, content: 'new' }), header('d/', '5')));
  } finally {
    process.umask(before);
  }
  const mode = (name: string): number => fs.statSync(path.join(at.root, name)).mode & 0o7777;
  assert.deepEqual([mode('set'), mode('kept'), mode('d')], [0o750, 0o600, 0o750]);
  assert.equal(fs.readFileSync(path.join(at.root, 'kept'), 'utf8'), 'new');
});

test('a time to come becomes now, 1970 stays', async () => {
  using at = temp();
  await unpack(at.root, archive(entry('old'), entry('future', { mtime: now / 1000 + 5000 }), pax({ mtime: '1000.5' }), entry('half')));
  assert.deepEqual(
    ['old', 'future', 'half'].map((name) => fs.statSync(path.join(at.root, name)).mtimeMs),
    [0, now, 1_000_500],
  );
});

test('bombs are stopped by size, by number and by ratio', async () => {
  using at = temp();
  const zeros = archive(entry('zeros', { content: Buffer.alloc(8_000_000) }));
  const fails = (
    bytes: Buffer,
    limits: { bytes: number; entries: number; ratio?: { most: number; fromBytes: number } },
    message: RegExp,
  ): Promise<void> => assert.rejects(unpack(at.root, bytes, { limits }), { code: 'exhausted', message });
  await fails(zeros, { bytes: 7_999_999, entries: 9 }, /holds more than 7999999 bytes/);
  assert.ok(!fs.existsSync(path.join(at.root, 'zeros')));
  await fails(zeros, { bytes: 1e9, entries: 9, ratio: { most: 100, fromBytes: 1e6 } }, /more than 100 times its size/);
  await fails(archive(entry('1'), entry('2'), entry('3')), { bytes: 1e6, entries: 2 }, /more than 2 entries/);
  await fails(
    archive(...Array.from({ length: 9 }, () => pax({ comment: 'c'.repeat(900_000) }))),
    { bytes: 1e6, entries: 2 },
    /larger than 1000000 bytes/,
  );
  await unpack(at.root, zeros, { limits: { bytes: 9_000_000, entries: 1, ratio: { most: 2000, fromBytes: 1e6 } } });
});

test('a fifo that stands in the way is replaced, not waited for', async () => {
  using at = temp();
  assert.equal(spawnSync('mkfifo', [path.join(at.root, 'a')]).status, 0);
  await unpack(at.root, archive(small));
  assert.ok(fs.lstatSync(path.join(at.root, 'a')).isFile());
});

test('a failure of the system keeps its code', async () => {
  using at = temp();
  fs.mkdirSync(path.join(at.root, 'a'));
  await assert.rejects(unpack(at.root, archive(small)), (error: Error & { code: string; cause: { code: string } }) => {
    assert.match(error.message, /^unpacking "a": EISDIR/);
    assert.deepEqual([error.code, error.cause.code], ['internal', 'EISDIR']);
    return true;
  });
  await assert.rejects(unpack(at.root, archive(entry('x'.repeat(100)), pax({ path: 'y'.repeat(300) }), entry('z'))), { code: 'internal' });
});

test('an abort ends a source that says nothing, and the file under way is closed', async () => {
  using at = temp();
  const controller = new AbortController();
  const waiting = Promise.withResolvers<void>();
  const bytes = gzipSync(entry('big', { content: Buffer.alloc(1_000_000, 'big') }), { level: 0 });
  const source = async function* (): AsyncGenerator<Buffer> {
    yield bytes.subarray(0, 600_000);
    waiting.resolve();
    await new Promise(() => undefined);
  };
  const open = fs.readdirSync('/dev/fd').length;
  const done = unpackTarGz(source(), at.root, { now, signal: controller.signal });
  await waiting.promise;
  controller.abort(new Error('no longer wanted'));
  await assert.rejects(done, { message: 'no longer wanted' });
  assert.equal(fs.readdirSync('/dev/fd').length, open);
});

test('a failure leaves the source open', async () => {
  using at = temp();
  let closed = false;
  const source = async function* (): AsyncGenerator<Buffer> {
    try {
      for (;;) yield Buffer.from('no gzip');
    } finally {
      closed = true;
    }
  };
  await assert.rejects(unpackTarGz(source(), at.root, { now }));
  assert.equal(closed, false);
});

test('names are quoted for people', () => {
  const quoted = (text: string): string => quoteName(Buffer.from(text).toString('latin1'));
  assert.equal(quoted('a\\b"\n\u001b'), '"a\\\\b\\"\\n\\x1b"');
  assert.equal(quoted('日本'), '"日本"');
  assert.equal(quoteName('\xff\\'), '"\\xff\\\\"');
});

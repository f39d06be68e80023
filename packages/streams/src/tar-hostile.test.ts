/** Archives by somebody who means harm: whatever they hold, nothing leaves the root, nothing grows without limit, and errors are ours. */
import assert from 'node:assert/strict';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { test } from 'node:test';
import { deflateRawSync, gzipSync } from 'node:zlib';
import fc from 'fast-check';
import { CroftError } from '@croft/runtime/errors';
import { openByteInput } from './byte-input.ts';
import { gunzip } from './gunzip.ts';
import { blockSize, formatHeader, formatPax, type TarHeader } from './tar-header.ts';
import { readTarGz } from './tar-read.ts';
import { unpackTarGz, type UnpackOptions } from './tar-unpack.ts';

const end = Buffer.alloc(2 * blockSize);
const limits = { bytes: 1e8, entries: 1_000 };

function entry(name: string, fields: Partial<TarHeader> & { content?: string | Buffer } = {}): Buffer {
  const { content: given = '', ...header } = fields;
  const content = Buffer.from(given);
  const head = formatHeader({ name, type: '0', mode: 0o644, size: content.length, mtime: 0, target: '', ...header });
  return Buffer.concat([head, content, Buffer.alloc(-content.length & (blockSize - 1))]);
}

const pax = (records: Record<string, string>, type = 'x'): Buffer =>
  entry('pax', { type, content: formatPax(new Map(Object.entries(records))) });
const archive = (...parts: Buffer[]): Buffer => gzipSync(Buffer.concat([...parts, end]));

async function* stream(...pieces: Uint8Array[]): AsyncGenerator<Uint8Array> {
  yield* pieces;
}

interface Ground extends Disposable {
  readonly root: string;
  unpack(bytes: Buffer, options?: Partial<UnpackOptions>): Promise<CroftError | 'unpacked'>;
  /** Fails unless everything beside the root is as it was and, without `oldLinks`, every link in it ends in it, or nowhere. */
  check(): void;
}

/** A root, perhaps with links that were there before, and beside it what must stay as it is. */
function ground({ oldLinks = false } = {}): Ground {
  const dir = fs.realpathSync(fs.mkdtempSync(path.join(os.tmpdir(), 'croft-hostile-')));
  const root = path.join(dir, 'root');
  fs.mkdirSync(path.join(root, 'there'), { recursive: true });
  fs.mkdirSync(path.join(dir, 'outside'));
  fs.writeFileSync(path.join(dir, 'outside/precious'), 'precious', { mode: 0o644 });
  const targets = { 'old-out': '../outside', 'old-file': '../outside/precious', 'old-up': '..' };
  for (const [name, target] of Object.entries(oldLinks ? targets : {})) fs.symlinkSync(target, path.join(root, name));
  return {
    root,
    async unpack(bytes, options = {}) {
      try {
        await unpackTarGz(stream(bytes), root, { now: 1e12, limits, ...options });
        return 'unpacked';
      } catch (error) {
        assert.ok(error instanceof CroftError, String(error));
        return error;
      }
    },
    check() {
      assert.deepEqual(fs.readdirSync(dir).toSorted(), ['outside', 'root']);
      assert.deepEqual(fs.readdirSync(path.join(dir, 'outside')), ['precious']);
      const { mode, nlink } = fs.statSync(path.join(dir, 'outside/precious'));
      assert.deepEqual([mode & 0o777, nlink, fs.readFileSync(path.join(dir, 'outside/precious'), 'utf8')], [0o644, 1, 'precious']);
      for (const link of oldLinks ? [] : linksBelow(Buffer.from(root))) {
        const real = realpathOf(link);
        assert.ok(real === undefined || real === root || real.startsWith(`${root}/`), `${link.toString()} leads to ${real}`);
      }
    },
    [Symbol.dispose]: () => fs.rmSync(dir, { recursive: true, force: true }),
  };
}

/** Links to where they lie would have Node's own recursion go around without end. */
function linksBelow(directory: Buffer): Buffer[] {
  return fs.readdirSync(directory, { withFileTypes: true, encoding: 'buffer' }).flatMap((found) => {
    const at = Buffer.concat([directory, Buffer.from('/'), found.name]);
    if (found.isSymbolicLink()) return [at];
    return found.isDirectory() ? linksBelow(at) : [];
  });
}

function realpathOf(at: Buffer): string | undefined {
  try {
    return fs.realpathSync(at);
  } catch {
    return undefined; // leads nowhere, or in a circle
  }
}

const kinds = archive(
  pax({ comment: 'global' }, 'g'),
  entry('d/', { type: '5' }),
  entry('d/file', { content: 'content' }),
  entry('d/link', { type: '2', target: 'file' }),
  entry('hard', { type: '1', target: 'd/file' }),
  pax({ path: `long/${'n'.repeat(150)}`, mtime: '1.5' }),
  entry('short', { content: 'x'.repeat(600) }),
  entry('L', { type: 'L', content: 'gnu-name\0' }),
  entry('cut'),
);

test('an archive that ends at any byte is refused or whole, and never hangs', { timeout: 60_000 }, async () => {
  for (let length = 0; length < kinds.length; length += 1) {
    using at = ground();
    const result = await at.unpack(kinds.subarray(0, length));
    if (result !== 'unpacked') assert.equal(result.code, 'invalid', `${length}: ${result.message}`);
    else assert.ok(length >= kinds.length - 12, `${length} of ${kinds.length} bytes were taken for whole`);
    at.check();
  }
});

test('a tar that ends at any byte within its gzip is refused, but for the places between two entries', { timeout: 60_000 }, async () => {
  const plain = Buffer.concat([entry('a', { content: 'x'.repeat(700) }), pax({ path: 'b' }), entry('z', { content: 'z' })]);
  for (let length = 1; length < plain.length; length += 13) {
    using at = ground();
    const result = await at.unpack(gzipSync(plain.subarray(0, length)));
    assert.ok(result !== 'unpacked' && result.message === 'tar error: unexpected EOF', `${length}`);
  }
});

test('bytes that were changed anywhere do no harm', { timeout: 120_000 }, async () => {
  const plain = Buffer.concat([
    entry('d/', { type: '5' }),
    entry('d/file', { content: 'content' }),
    entry('d/link', { type: '2', target: '../d/file' }),
    entry('hard', { type: '1', target: 'd/file' }),
    pax({ path: 'other', size: '5' }),
    entry('short', { content: 'other' }),
    end,
  ]);
  const change = fc.record({ at: fc.nat(plain.length - 1), to: fc.oneof(fc.nat(255), fc.constantFrom(0, 0x2e, 0x2f, 0x80, 0xff)) });
  await fc.assert(
    fc.asyncProperty(fc.array(change, { minLength: 1, maxLength: 4 }), fc.boolean(), async (changes, mend) => {
      const changed = Buffer.from(plain);
      for (const { at, to } of changes) {
        changed[at] = to;
        if (mend) mendChecksum(changed, at - (at % blockSize));
      }
      using at = ground();
      await at.unpack(gzipSync(changed, { level: 1 }));
      at.check();
    }),
    { numRuns: 250 },
  );
});

/** So that a header that was changed is believed. */
function mendChecksum(bytes: Buffer, at: number): void {
  if (bytes.toString('latin1', at + 257, at + 262) !== 'ustar') return;
  bytes.fill(0x20, at + 148, at + 156);
  const sum = bytes.subarray(at, at + blockSize).reduce((total, byte) => total + byte, 0);
  bytes.write(`${sum.toString(8).padStart(6, '0')}\0 `, at + 148, 'latin1');
}

test('entries of any names, types and targets, in any order, stay inside', { timeout: 120_000 }, async () => {
  const parts = fc.constantFrom(
    'a',
    'A',
    'b',
    'there',
    'old-out',
    'old-file',
    'old-up',
    '..',
    '.',
    '',
    'precious',
    'outside',
    '\\',
    'ä',
    'a\0b',
  );
  const way = fc
    .tuple(fc.constantFrom('', '', '', '/', './', '../'), fc.array(parts, { maxLength: 5 }))
    .map(([start, rest]) => start + rest.join('/'));
  const any = fc.record({
    name: way,
    target: way,
    type: fc.constantFrom('0', '1', '2', '5', '\0', '7', '3', '6', 'S'),
    viaPax: fc.boolean(),
  });
  await fc.assert(
    fc.asyncProperty(
      fc.array(any, { minLength: 1, maxLength: 8 }),
      fc.boolean(),
      fc.boolean(),
      async (entries, leavesOutLinks, oldLinks) => {
        const packed = entries.flatMap(({ name, target, type, viaPax }) => {
          const content = type === '0' || type === '7' ? 'evil' : '';
          if (!viaPax) return [entry(name.replaceAll('\0', ''), { type, target, content })];
          return [pax({ path: name, linkpath: target }), entry('x', { type, content })];
        });
        using at = ground({ oldLinks });
        await at.unpack(archive(...packed), { leavesOutLinks });
        at.check();
      },
    ),
    { numRuns: 300 },
  );
});

test('headers with sizes and times that no file has are refused', async () => {
  const sizes = ['ffffffffffffffffffffffff', '800000000000ffffffffffff', 'c00000000000000000000001'];
  for (const hex of sizes) {
    const block = entry('a');
    Buffer.from(hex, 'hex').copy(block, 124);
    mendChecksum(block, 0);
    using at = ground();
    const result = await at.unpack(archive(block));
    assert.ok(result !== 'unpacked' && ['invalid', 'exhausted'].includes(result.code), hex);
  }
  for (const records of [{ size: '-1' }, { size: '99999999999999999' }, { size: '1e9' }, { mtime: 'NaN' }, { mtime: '9'.repeat(40) }]) {
    using at = ground();
    const result = await at.unpack(archive(pax(records), entry('a')));
    assert.ok(result !== 'unpacked' && result.code === 'invalid', JSON.stringify(records));
  }
});

test('extended headers that pile up before an entry end at a limit, in little memory', async () => {
  const many = Array.from({ length: 40 }, (_, at) => pax({ [`key${at}`]: 'v'.repeat(60_000) }));
  using at = ground();
  const result = await at.unpack(archive(...many, entry('a')));
  assert.ok(result !== 'unpacked' && /are larger than 1048576 bytes/.test(result.message));
  const names = Array.from({ length: 3 }, () => entry('L', { type: 'L', content: 'n'.repeat(500_000) }));
  const named = await at.unpack(archive(...names, entry('a')));
  assert.ok(named !== 'unpacked' && named.code === 'invalid');
  assert.equal(
    await at.unpack(archive(...Array.from({ length: 40 }, () => pax({ comment: 'v'.repeat(60_000) }, 'g')), entry('a'))),
    'unpacked',
  );
});

test('a bomb ends at its ratio, at its size, and where there is no room left; what is refused at its header is not made', async () => {
  const zeros = archive(entry('zeros', { content: Buffer.alloc(30_000_000) }));
  using at = ground();
  const tells = async (options: Partial<UnpackOptions>, told: RegExp): Promise<void> => {
    const result = await at.unpack(zeros, options);
    assert.ok(result !== 'unpacked' && result.code === 'exhausted' && told.test(result.message), String(result));
  };
  await tells({ limits: { bytes: 1e6, entries: 9 } }, /more than 1000000 bytes/);
  assert.ok(!fs.existsSync(path.join(at.root, 'zeros')));
  await tells({ limits: { ...limits, ratio: { most: 500, fromBytes: 20_000_000 } } }, /more than 500 times its size/);
  const room = async (size: number): Promise<void> => {
    if (size > 10_000_000) throw new CroftError('exhausted', 'no room left');
  };
  await tells({ room }, /no room left/);
  assert.ok(fs.statSync(path.join(at.root, 'zeros')).size <= 10_000_000);
  assert.equal(await at.unpack(zeros, { limits: { ...limits, ratio: { most: 500, fromBytes: 40_000_000 } } }), 'unpacked');
});

test('what is no gzip, or a gzip with any header, never fails in another way than ours', { timeout: 60_000 }, async () => {
  const body = deflateRawSync('text');
  const header = fc
    .tuple(fc.nat(255), fc.uint8Array({ maxLength: 40 }))
    .map(([flags, rest]) => Buffer.concat([Buffer.from([0x1f, 0x8b, 8, flags, 0, 0, 0, 0, 0, 0xff]), rest, body]));
  const bytes = fc.oneof(
    fc.uint8Array({ maxLength: 80 }).map((array) => Buffer.from(array)),
    header,
  );
  await fc.assert(
    fc.asyncProperty(bytes, fc.integer({ min: 1, max: 9 }), async (given, size) => {
      const pieces = Array.from({ length: Math.ceil(given.length / size) }, (_, at) => given.subarray(at * size, (at + 1) * size));
      const failure = await (async () => Array.fromAsync(await gunzip(openByteInput(stream(...pieces)), {})))().catch(
        (error: unknown) => error,
      );
      assert.ok(Array.isArray(failure) || failure instanceof CroftError, String(failure));
    }),
    { numRuns: 500 },
  );
});

test('reading entry by entry meets the same limits', async () => {
  const read = (bytes: Buffer) => Array.fromAsync(readTarGz(stream(bytes), { maxBytes: 1e6, maxEntries: 3 }), ({ header }) => header.name);
  await assert.rejects(read(archive(entry('z', { content: Buffer.alloc(2e6) }))), { code: 'exhausted' });
  await assert.rejects(read(archive(...'abcd'.split('').map((name) => entry(name)))), { code: 'exhausted' });
  await assert.rejects(read(kinds.subarray(0, -200)), { code: 'invalid' });
});

import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { isCode } from '@croft/runtime/errors';
import { packTarGz, type TarEntry } from './tar-pack.ts';
import { readTarGz } from './tar-read.ts';

const limits = { maxBytes: 1e9, maxEntries: 1_000 };

function file(name: string, content: Buffer): TarEntry {
  return { kind: 'file', path: Buffer.from(name, 'latin1'), mode: 0o644, mtime: 7, size: content.length, content };
}

async function packed(entries: readonly TarEntry[], level = 1): Promise<Buffer> {
  async function* all(): AsyncGenerator<TarEntry> {
    yield* entries;
  }
  return Buffer.concat(await Array.fromAsync(packTarGz(all(), { level })));
}

async function* cut(bytes: Buffer, size: number): AsyncGenerator<Buffer> {
  for (let at = 0; at < bytes.length; at += size) yield bytes.subarray(at, at + size);
}

async function contentOf(pieces: AsyncIterable<Buffer>): Promise<Buffer> {
  return Buffer.concat(await Array.fromAsync(pieces));
}

test('what was packed is read, however the archive is cut and whichever contents are passed over', async () => {
  const name = fc.stringMatching(/^[a-z\u00e0-\u00ff/]{0,150}z$/);
  const content = fc.uint8Array({ maxLength: 3_000 });
  const entries = fc.array(fc.tuple(name, content, fc.boolean()), { maxLength: 12 });
  await fc.assert(
    fc.asyncProperty(entries, fc.integer({ min: 9, max: 700 }), fc.constantFrom(0, 1), async (given, size, level) => {
      const archive = await packed(
        given.map(([path, bytes]) => file(path, Buffer.from(bytes))),
        level,
      );
      const read: string[] = [];
      for await (const entry of readTarGz(cut(archive, size), limits)) {
        const expected = given[read.length] ?? assert.fail('more than was packed');
        if (expected[2]) assert.deepEqual(await contentOf(entry.content), Buffer.from(expected[1]));
        read.push(entry.header.name);
      }
      assert.deepEqual(
        read,
        given.map(([path]) => path),
      );
    }),
    { numRuns: 25 },
  );
});

test('an archive that is cut anywhere is never taken for a whole one', async () => {
  const archive = await packed([file('a', Buffer.alloc(5_000, 'a')), file('b', Buffer.from('b'))], 0);
  for (let length = 0; length < archive.length; length += 97) {
    const all = Array.fromAsync(readTarGz(cut(archive.subarray(0, length), 1_000), limits), ({ content }) => contentOf(content));
    await assert.rejects(all, (error) => isCode(error, 'invalid'));
  }
});

test('too many bytes and too many entries are refused before they are held', async () => {
  const archive = await packed([file('a', Buffer.alloc(100_000)), file('b', Buffer.alloc(10)), file('c', Buffer.alloc(10))]);
  for (const tight of [
    { maxBytes: 50_000, maxEntries: 10 },
    { maxBytes: 1e9, maxEntries: 2 },
  ]) {
    await assert.rejects(Array.fromAsync(readTarGz(cut(archive, 500), tight)), (error) => isCode(error, 'exhausted'));
  }
});

test('however the reading ends, the source is closed', async () => {
  const archive = await packed([file('a', Buffer.alloc(10)), file('b', Buffer.alloc(300_000, 'x'))], 0);
  let closed = 0;
  async function* source(): AsyncGenerator<Buffer> {
    try {
      yield* cut(archive, 1_000);
    } finally {
      closed += 1;
    }
  }
  for await (const { header } of readTarGz(source(), limits)) if (header.name === 'a') break;
  await assert.rejects(Array.fromAsync(readTarGz(source(), { ...limits, maxEntries: 1 })));
  await Array.fromAsync(readTarGz(source(), limits));
  assert.equal(closed, 3);
});

import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { isCode } from '@croft/runtime/errors';
import { readMultipart } from './multipart.ts';

const type = 'multipart/form-data; boundary=----croft';

function formOf(parts: readonly { name: string; filename?: string; content: Uint8Array }[]): Buffer {
  const pieces = parts.flatMap(({ name, filename, content }) => {
    const file = filename === undefined ? '' : `; filename="${filename}"`;
    return [
      Buffer.from(`------croft\r\nContent-Disposition: form-data; name="${name}"${file}\r\nContent-Type: x/y\r\n\r\n`),
      content,
      Buffer.from('\r\n'),
    ];
  });
  return Buffer.concat([...pieces, Buffer.from('------croft--\r\n')]);
}

async function* inPieces(bytes: Buffer, sizes: readonly number[]): AsyncGenerator<Buffer> {
  for (let at = 0, turn = 0; at < bytes.length; turn += 1) {
    const size = sizes[turn % sizes.length] ?? 1;
    yield bytes.subarray(at, at + size);
    at += size;
  }
}

async function read(
  source: AsyncIterable<Uint8Array>,
  given = type,
): Promise<{ name: string; filename: string | undefined; content: string }[]> {
  const found = [];
  for await (const { name, filename, content } of readMultipart(given, source)) {
    const pieces: Buffer[] = [];
    for await (const piece of content) pieces.push(Buffer.from(piece));
    found.push({ name, filename, content: Buffer.concat(pieces).toString('latin1') });
  }
  return found;
}

test('parts arrive whole, however the bytes are cut and whatever looks like a boundary', () => {
  const tricky = fc.constantFrom('\r\n', '--', '\r\n------crof', '----croft', '\r', '\n\r\n--', 'x');
  const content = fc.array(fc.oneof(tricky, fc.string({ unit: 'binary-ascii' })), { maxLength: 8 }).map((all) => all.join(''));
  return fc.assert(
    fc.asyncProperty(
      fc.array(content, { maxLength: 4 }),
      fc.array(fc.integer({ min: 1, max: 40 }), { minLength: 1 }),
      async (contents, sizes) => {
        fc.pre(contents.every((text) => !`\r\n${text}`.includes('\r\n------croft')));
        const parts = contents.map((text, at) => ({ name: 'file', filename: `f${at}`, content: Buffer.from(text, 'latin1') }));
        const found = await read(inPieces(formOf(parts), sizes));
        assert.deepEqual(
          found,
          contents.map((text, at) => ({ name: 'file', filename: `f${at}`, content: text })),
        );
      },
    ),
  );
});

test('what of a part is not read is passed over', async () => {
  const form = formOf([
    { name: 'a', filename: 'a', content: Buffer.alloc(100_000, 'a') },
    { name: 'b', content: Buffer.from('b') },
  ]);
  const names: string[] = [];
  for await (const { name, content } of readMultipart(type, inPieces(form, [1000]))) {
    names.push(name);
    for await (const _ of content) break;
  }
  assert.deepEqual(names, ['a', 'b']);
});

test('a name of a file loses its directories, and what browsers escape comes back', async () => {
  const form = formOf([
    { name: 'f', filename: 'C:\\dir\\..\\x.txt', content: Buffer.from('') },
    { name: 'f', filename: '../../etc/%22passwd%22', content: Buffer.from('') },
  ]);
  assert.deepEqual(
    (await read(inPieces(form, [7]))).map(({ filename }) => filename),
    ['x.txt', '"passwd"'],
  );
});

test('what is no form, is cut, or has a head without an end is refused', async () => {
  const whole = formOf([{ name: 'f', filename: 'x', content: Buffer.from('content') }]);
  const invalid = (error: unknown): boolean => isCode(error, 'invalid');
  await assert.rejects(read(inPieces(whole, [9]), 'text/plain'), invalid);
  for (const length of [0, 5, 30, whole.length - 20])
    await assert.rejects(read(inPieces(whole.subarray(0, length), [9])), invalid, `${length}`);
  await assert.rejects(read(inPieces(Buffer.concat([Buffer.from('------croft\r\n'), Buffer.alloc(20_000, 'x')]), [999])), invalid);
  await assert.rejects(
    read(inPieces(Buffer.from('------croft\r\nContent-Disposition: form-data\r\n\r\nx\r\n------croft--'), [999])),
    invalid,
  );
});

import { test } from 'node:test';
import assert from 'node:assert/strict';
import fc from 'fast-check';
import { LineSplitter, maxLineBytes } from './log-lines.ts';

const encode = (text: string): Uint8Array => new TextEncoder().encode(text);

test('lines do not depend on how the bytes are cut', () => {
  const texts = fc.string({ unit: fc.constantFrom('a', 'é', '😀', '\n', '\r', ' '), maxLength: 200 });
  fc.assert(
    fc.property(texts, fc.array(fc.integer({ min: 1, max: 7 }), { maxLength: 100 }), (text, cuts) => {
      const bytes = encode(text);
      const splitter = new LineSplitter(5);
      const lines: string[] = [];
      let at = 0;
      for (const length of [...cuts, bytes.length]) {
        lines.push(...splitter.push(bytes.subarray(at, at + length)).map((line) => line.text));
        at += length;
      }
      assert.deepEqual([...lines, splitter.partial().text], text.split('\n'));
      assert.equal(splitter.offset, 5 + bytes.length);
    }),
  );
});

test('no more than the limit of lines is taken, and the offset says where to go on', () => {
  const splitter = new LineSplitter(0);
  assert.deepEqual(
    splitter.push(encode('a\nbb\nccc\n'), 2).map(({ text }) => text),
    ['a', 'bb'],
  );
  assert.equal(splitter.offset, 5);
});

test('a line without end is held in constant memory and says what is missing', () => {
  const splitter = new LineSplitter(0);
  for (let times = 0; times < 100; times += 1) splitter.push(encode('x'.repeat(10_000)));
  const { text, cut } = splitter.partial();
  assert.equal(text.length, maxLineBytes);
  assert.equal(cut, 1_000_000 - maxLineBytes);
  assert.equal(splitter.pendingBytes, 1_000_000);
});

test('of a long progress bar the last state is kept', () => {
  const splitter = new LineSplitter(0);
  for (let percent = 0; percent <= 100; percent += 1) splitter.push(encode(`\r${'#'.repeat(1000)} ${percent} %`));
  assert.match(splitter.partial().text, /100 %$/);
  assert.ok(splitter.partial().text.length <= maxLineBytes);
});

test('bytes that are no UTF-8 become replacement characters', () => {
  assert.equal(new LineSplitter(0).push(new Uint8Array([0xff, 0x61, 0x0a]))[0]?.text, '\ufffda');
});

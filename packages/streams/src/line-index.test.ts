import { test } from 'node:test';
import assert from 'node:assert/strict';
import fc from 'fast-check';
import {
  countNewlines,
  createLineCounter,
  decodeLineIndex,
  encodeLineIndex,
  lineBlockBytes,
  placeOfLine,
  placeOfOffset,
} from './line-index.ts';

/** Logs of up to a few blocks, from a short pattern, so that any byte may be a newline. */
const logs = fc
  .tuple(fc.uint8Array({ minLength: 1, maxLength: 40 }), fc.integer({ min: 0, max: 4 * lineBlockBytes }), fc.nat(64))
  .map(([pattern, length, gap]) => {
    const bytes = Buffer.alloc(length);
    for (let at = 0; at < length; at += 1) bytes[at] = at % (gap + 1) === gap ? 0x0a : (pattern[at % pattern.length] ?? 0);
    return bytes;
  });

function newlines(bytes: Uint8Array): number[] {
  return [...bytes.entries()].filter(([, byte]) => byte === 0x0a).map(([at]) => at);
}

test('newlines are counted exactly in any range of any bytes', () => {
  const bytes = fc
    .uint8Array({ maxLength: 3000 })
    .map((raw) => raw.map((byte) => (byte < 64 ? 0x0a : byte < 96 ? 0x8a : byte < 128 ? 0x0b : byte)));
  fc.assert(
    fc.property(bytes, fc.nat(), fc.nat(), (all, a, b) => {
      const [from, to] = [a % (all.length + 1), b % (all.length + 1)].toSorted((x, y) => x - y) as [number, number];
      assert.equal(countNewlines(all, from, to), newlines(all.subarray(from, to)).length);
    }),
  );
});

test('a block full of newlines does not overflow', () => {
  assert.equal(countNewlines(Buffer.alloc(lineBlockBytes, '\n'), 0, lineBlockBytes), lineBlockBytes);
});

test('the counts do not depend on how the log was cut, nor on a restart in between', () => {
  fc.assert(
    fc.property(logs, fc.array(fc.integer({ min: 1, max: 100_000 }), { maxLength: 8 }), fc.nat(8), (log, cuts, restartAt) => {
      const whole = createLineCounter();
      whole.add(log);
      let counter = createLineCounter();
      let at = 0;
      for (const [turn, length] of [...cuts, log.length].entries()) {
        if (turn === restartAt) counter = createLineCounter(decodeLineIndex(encodeLineIndex(counter.index()), counter.bytes));
        counter.add(log.subarray(at, at + length));
        at += length;
      }
      assert.deepEqual(counter.index(), whole.index());
      assert.equal(counter.lines, newlines(log).length);
    }),
    { numRuns: 40 },
  );
});

test('every line and every offset is found from its place', () => {
  fc.assert(
    fc.property(logs, fc.nat(), fc.nat(), (log, anyLine, anyOffset) => {
      const counter = createLineCounter();
      counter.add(log);
      const index = counter.index();
      const ends = newlines(log);
      const line = anyLine % (ends.length + 1);
      const place = placeOfLine(index, line);
      assert.ok(place && line - place.lines <= lineBlockBytes);
      const behind = ends.filter((end) => end >= place.offset);
      const skip = line - place.lines;
      const start = skip === 0 && place.offset === 0 ? 0 : (behind[skip - 1] ?? Number.NaN) + 1;
      assert.equal(start, line === 0 ? 0 : (ends[line - 1] ?? Number.NaN) + 1);
      const offset = anyOffset % (log.length + 1);
      const from = placeOfOffset(index, offset);
      assert.ok(from.offset <= offset && offset - from.offset <= lineBlockBytes);
      assert.equal(from.lines, ends.filter((end) => end < from.offset).length);
    }),
    { numRuns: 40 },
  );
});

test('a line that is not there has no place, and an index of another length is refused', () => {
  const counter = createLineCounter();
  counter.add(Buffer.from('one\ntwo'));
  assert.deepEqual(placeOfLine(counter.index(), 1), { offset: 0, lines: 0 });
  assert.equal(placeOfLine(counter.index(), 2), undefined);
  assert.deepEqual(placeOfLine(createLineCounter().index(), 0), { offset: 0, lines: 0 });
  assert.throws(() => decodeLineIndex(new Uint8Array(8), 100), { code: 'invalid' });
});

test('an index that was taken does not change with later bytes', () => {
  const counter = createLineCounter();
  counter.add(Buffer.from('a\n'));
  const early = counter.index();
  counter.add(Buffer.from('b\n'));
  assert.deepEqual([...early.counts], [1]);
  assert.equal(early.bytes, 2);
});

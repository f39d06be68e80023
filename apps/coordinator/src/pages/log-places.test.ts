import { test } from 'node:test';
import assert from 'node:assert/strict';
import fc from 'fast-check';
import { placeIn, readTail } from './log-places.ts';
import { growingLog, syntheticLog } from './testing.ts';

test('the place of every line and byte is found in any log', async () => {
  const logs = fc.array(fc.stringMatching(/^[a-z]{0,6}$/), { maxLength: 30 }).map((lines) => lines.join('\n'));
  await fc.assert(
    fc.asyncProperty(logs, fc.nat(40), fc.nat(200), async (text, line, offset) => {
      const starts = [0, ...[...text.matchAll(/\n/g)].map(({ index }) => index + 1)].filter((start) => start < text.length);
      const log = growingLog(text);
      const asked = Math.max(0, Math.min(line, starts.length - 1));
      assert.deepEqual(await placeIn(log, { line }), {
        line: asked,
        offset: starts[asked] ?? 0,
        lines: starts.length,
        bytes: text.length,
        live: true,
      });
      const holding = Math.max(
        0,
        starts.findLastIndex((start) => start <= offset),
      );
      assert.equal((await placeIn(log, { offset })).line, holding);
    }),
  );
});

test('a place in a gigabyte takes a few dozen look-ups', async () => {
  const log = syntheticLog(16_777_216);
  let asked = 0;
  const place = await placeIn({ ...log, offsetOfLine: (line) => ((asked += 1), log.offsetOfLine(line)) }, { offset: 1_000_000_000 });
  assert.equal(place.line, 15_625_000);
  assert.ok(asked < 120, `${asked}`);
});

test('the tail is the last 200 lines without colours', async () => {
  const tail = await readTail(growingLog(Array.from({ length: 1000 }, (_, at) => `\u001b[32m${at}\u001b[0m\n`).join('')));
  assert.deepEqual(
    tail.text.trimEnd().split('\n'),
    Array.from({ length: 200 }, (_, at) => String(at + 800)),
  );
  assert.ok(tail.skipped > 0);
});

test('a short log is its own tail', async () => {
  assert.deepEqual(await readTail(growingLog('only this')), { text: 'only this', skipped: 0 });
  assert.deepEqual(await readTail(growingLog('')), { text: '', skipped: 0 });
});

test('of a gigabyte only the end is read', async () => {
  const log = syntheticLog(16_777_216);
  const tail = await readTail(log);
  assert.equal(tail.text.trimEnd().split('\n').length, 200);
  assert.match(tail.text, /16777216/);
});

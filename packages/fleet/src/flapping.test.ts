import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { MINUTE, SECOND } from '@croft/runtime/clock';
import { heldUntil, noteEnd, type ShortLines } from './flapping.ts';

test('two lines that end soon are an accident; the third holds the machine for 30 s, each further one twice as long', () => {
  let ends: ShortLines = [];
  const holds: (number | undefined)[] = [];
  for (let now = 0; now < 6 * SECOND; now += SECOND) {
    ends = noteEnd(ends, { since: now - SECOND, now });
    const until = heldUntil(ends, now);
    holds.push(until === undefined ? undefined : (until - now) / SECOND);
  }
  assert.deepEqual(holds, [undefined, undefined, 30, 60, 120, 240]);
});

test('lines that last, and what is long ago, do not count', () => {
  const now = 100 * MINUTE;
  assert.deepEqual(noteEnd([], { since: now - MINUTE, now }), []);
  assert.deepEqual(noteEnd([now - 11 * MINUTE], { since: now - SECOND, now }), [now]);
  assert.equal(heldUntil([now - 11 * MINUTE, now - 11 * MINUTE, now], now), undefined);
});

test('no machine is held for more than ten minutes after its last line ended, and none remembers without bound', () => {
  fc.assert(
    fc.property(fc.array(fc.nat({ max: 200_000 }), { maxLength: 60 }), (gaps) => {
      let now = 0;
      let ends: ShortLines = [];
      for (const gap of gaps) ends = noteEnd(ends, { since: now, now: (now += gap) });
      assert.ok(ends.length <= 20);
      assert.ok((heldUntil(ends, now) ?? now) - now <= 10 * MINUTE);
      assert.equal(heldUntil(ends, now + 10 * MINUTE), undefined);
    }),
  );
});

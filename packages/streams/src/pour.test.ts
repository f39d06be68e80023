import assert from 'node:assert/strict';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { test } from 'node:test';
import fc from 'fast-check';
import { pulled } from './pour.ts';

test('whatever the pace of both, each piece is given once and in order, and the next is poured when the one before was dealt with', () =>
  fc.assert(
    fc.asyncProperty(fc.array(fc.tuple(fc.boolean(), fc.boolean()), { maxLength: 20 }), async (paces) => {
      let dealtWith = 0;
      const pieces = pulled<number>(async (take) => {
        for (const [index, [isSlow]] of paces.entries()) {
          if (isSlow) await nextTurn();
          await take(index);
          assert.equal(dealtWith, index + 1);
        }
      });
      for await (const piece of pieces) {
        assert.equal(piece, dealtWith);
        if (paces[piece]?.[1]) await nextTurn();
        dealtWith += 1;
      }
      assert.equal(dealtWith, paces.length);
    }),
  ));

test('who leaves early ends the pouring, also in the middle of a piece', async () => {
  const poured = Promise.withResolvers<unknown>();
  const pieces = pulled<string>(async (take, signal) => {
    await take('first');
    poured.resolve(signal.aborted);
  });
  for await (const _ of pieces) break;
  assert.equal(await poured.promise, true);
});

test('a failure comes after what was poured before it', async () => {
  const pieces = pulled<string>(async (take) => {
    await take('first');
    throw new Error('cut');
  });
  assert.equal((await pieces.next()).value, 'first');
  await assert.rejects(pieces.next(), /cut/);
});

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { backoffMs, systemRandom, type Random } from './random.ts';
import { seededRandom } from './testing.ts';

const always = (fraction: number): Random => ({ fraction: () => fraction, hex: () => '' });

test('a back-off stays between a quarter of the least and the growing ceiling', () => {
  const random = seededRandom(1);
  for (let tries = 0; tries < 2_000; tries += 1) {
    const ms = backoffMs(tries, random);
    assert.ok(ms >= 50 && ms <= Math.min(5_000, 200 * 2 ** tries), `${tries}: ${ms}`);
  }
});

test('the ceiling doubles with each try up to the most', () => {
  const ceilings = [0, 1, 2, 3, 4, 5, 6, 1_000_000].map((tries) => backoffMs(tries, always(1)));
  assert.deepEqual(ceilings, [200, 400, 800, 1_600, 3_200, 5_000, 5_000, 5_000]);
});

test('an unlucky draw does not make a hot loop', () => {
  assert.equal(backoffMs(9, always(0)), 50);
  assert.equal(backoffMs(9, always(0), { minMs: 1_000, maxMs: 60_000 }), 250);
});

test('the system gives ids of the length asked for, and never the same twice', () => {
  const ids = new Set(Array.from({ length: 1_000 }, () => systemRandom.hex(8)));
  assert.equal(ids.size, 1_000);
  for (const id of ids) assert.match(id, /^[0-9a-f]{16}$/);
  const fraction = systemRandom.fraction();
  assert.ok(fraction >= 0 && fraction < 1);
});

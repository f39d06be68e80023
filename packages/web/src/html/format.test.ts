import { test } from 'node:test';
import assert from 'node:assert/strict';
import { formatBytes, formatDuration, formatInstant, formatRelative, iso } from './format.ts';

const durations: readonly (readonly [number, string])[] = [
  [-5, '0.0 s'],
  [840, '0.8 s'],
  [9_949, '9.9 s'],
  [9_950, '10 s'],
  [59_400, '59 s'],
  [59_600, '1 m 00 s'],
  [185_000, '3 m 05 s'],
  [4_800_000, '1 h 20 m'],
  [273_600_000, '3 d 4 h'],
];

for (const [ms, text] of durations) test(`${ms} ms read "${text}"`, () => assert.equal(formatDuration(ms), text));

const ages: readonly (readonly [number, string])[] = [
  [0, 'now'],
  [20_000, '20 s ago'],
  [-180_000, 'in 3 min'],
  [7_200_000, '2 h ago'],
  [5 * 86_400_000, '5 days ago'],
  [60 * 86_400_000, '2025-11-16'],
];

for (const [age, text] of ages)
  test(`an instant ${age} ms before now reads "${text}"`, () => {
    const now = Date.UTC(2026, 0, 15, 12);
    assert.equal(formatRelative(now - age, now), text);
  });

test('an instant is written alike everywhere', () => {
  const at = Date.UTC(2026, 1, 28, 23, 59, 7);
  assert.equal(formatInstant(at), '2026-02-28 23:59:07 UTC');
  assert.equal(iso(at), '2026-02-28T23:59:07Z');
});

test('sizes have at most three figures', () => {
  assert.deepEqual([0, 1023, 1024, 83_886_080, 2 ** 50].map(formatBytes), ['0 B', '1023 B', '1.0 KiB', '80 MiB', '1024 TiB']);
});

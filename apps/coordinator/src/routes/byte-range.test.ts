import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { wantedRange } from './byte-range.ts';

test('single ranges are understood', () => {
  const cases: [string | undefined, number, object][] = [
    [undefined, 10, { kind: 'whole' }],
    ['bytes=0-0', 10, { kind: 'part', from: 0, to: 1 }],
    ['bytes=2-', 10, { kind: 'part', from: 2, to: 10 }],
    ['bytes=-3', 10, { kind: 'part', from: 7, to: 10 }],
    ['bytes=-30', 10, { kind: 'part', from: 0, to: 10 }],
    ['bytes=5-500', 10, { kind: 'part', from: 5, to: 10 }],
    ['bytes=10-', 10, { kind: 'none' }],
    ['bytes=0-', 0, { kind: 'none' }],
    ['bytes=-0', 10, { kind: 'none' }],
    ['bytes=5-4', 10, { kind: 'whole' }],
    ['bytes=0-1,3-4', 10, { kind: 'whole' }],
    ['lines=0-1', 10, { kind: 'whole' }],
    ['bytes=-', 10, { kind: 'whole' }],
    ['bytes=a-b', 10, { kind: 'whole' }],
  ];
  for (const [header, length, want] of cases) assert.deepEqual(wantedRange(header, length), want, `${header} of ${length}`);
});

test('a part always lies inside and is never empty, whatever is asked', () => {
  const edge = fc.option(fc.oneof(fc.nat(30), fc.bigInt(0n, 10n ** 30n)), { nil: '' });
  fc.assert(
    fc.property(edge, edge, fc.nat(20), (first, last, length) => {
      const wanted = wantedRange(`bytes=${first}-${last}`, length);
      if (wanted.kind === 'part') assert.ok(wanted.from >= 0 && wanted.from < wanted.to && wanted.to <= length, JSON.stringify(wanted));
    }),
  );
});

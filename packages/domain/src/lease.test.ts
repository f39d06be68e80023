import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { CroftError, isCode, type ErrorCode } from '@croft/runtime/errors';
import { areReturning, advanceLease, isLost, liveness, staleEpoch, type LeaseEvent, type LeaseState } from './lease.ts';

const held: LeaseState = { kind: 'held', epoch: 7, acquiredAt: 10 };
const released: LeaseState = { kind: 'ended', epoch: 7, acquiredAt: 10, endedAt: 20, how: 'released' };
const lost: LeaseState = { ...released, how: 'lost' };

const moves: [name: string, from: LeaseState, event: LeaseEvent, to: LeaseState | ErrorCode][] = [
  ['held is taken over with a higher epoch', held, { kind: 'taken-over', epoch: 8 }, { ...held, epoch: 8 }],
  ['held refuses to be taken over with its own epoch', held, { kind: 'taken-over', epoch: 7 }, 'stale'],
  ['held refuses to be taken over with an older epoch', held, { kind: 'taken-over', epoch: 6 }, 'stale'],
  [
    'held is released by its holder',
    held,
    { kind: 'released', epoch: 7, at: 99 },
    { kind: 'ended', epoch: 7, acquiredAt: 10, endedAt: 99, how: 'released' },
  ],
  ['held refuses to be released by an old holder', held, { kind: 'released', epoch: 6, at: 99 }, 'stale'],
  ['held refuses to be released with an epoch that was never given', held, { kind: 'released', epoch: 8, at: 99 }, 'stale'],
  ['held is lost', held, { kind: 'lost', at: 99 }, { kind: 'ended', epoch: 7, acquiredAt: 10, endedAt: 99, how: 'lost' }],
  ...[released, lost].flatMap((over): typeof moves => [
    [
      `${over.kind} (${over.kind === 'ended' ? over.how : ''}) refuses to be taken over`,
      over,
      { kind: 'taken-over', epoch: 8 },
      'conflict',
    ],
    [
      `${over.kind} (${over.kind === 'ended' ? over.how : ''}) refuses to be released`,
      over,
      { kind: 'released', epoch: 7, at: 99 },
      'conflict',
    ],
    [`${over.kind} (${over.kind === 'ended' ? over.how : ''}) refuses to be lost`, over, { kind: 'lost', at: 99 }, 'conflict'],
  ]),
];

for (const [name, from, event, to] of moves) {
  test(`a lease that is ${name}`, () => {
    if (typeof to === 'string')
      assert.throws(
        () => advanceLease(from, event),
        (error) => isCode(error, to),
      );
    else assert.deepEqual(advanceLease(from, event), to);
  });
}

test('a stale holder learns both epochs and what to do', () => {
  const error = staleEpoch(6, 7);
  assert.ok(error instanceof CroftError && error.code === 'stale' && error.hint !== undefined);
  assert.match(error.message, /6.*7/);
});

test('epochs only grow, and only the newest can release', () => {
  const event: fc.Arbitrary<LeaseEvent> = fc.oneof(
    fc.record({ kind: fc.constant('taken-over' as const), epoch: fc.integer({ min: 0, max: 20 }) }),
    fc.record({ kind: fc.constant('released' as const), epoch: fc.integer({ min: 0, max: 20 }), at: fc.constant(99) }),
  );
  fc.assert(
    fc.property(fc.array(event), (events) => {
      let state: LeaseState = { kind: 'held', epoch: 1, acquiredAt: 0 };
      for (const one of events) {
        const before = state;
        try {
          state = advanceLease(state, one);
        } catch {
          continue;
        }
        if (state.kind === 'held') assert.ok(state.epoch > before.epoch);
        else assert.ok(one.kind === 'released' && one.epoch === before.epoch);
      }
    }),
  );
});

test('the numbers are those of the design', () => {
  assert.deepEqual(liveness, { pingMs: 5_000, lostMs: 15_000, graceMs: 30_000, reassignedMs: 30_000, orphanedMs: 1_800_000 });
});

test('nothing is lost in the first 30 s, neither what never answered nor what fell silent', () => {
  for (const lastAt of [undefined, 1_000, 1_001, 10_000]) assert.equal(isLost({ lastAt, askingSince: 1_000 }, 30_999), false, `${lastAt}`);
});

test('after 30 s what never answered is lost', () => {
  assert.equal(isLost({ lastAt: undefined, askingSince: 1_000 }, 31_000), true);
});

test('after that, 15 s of silence and not less', () => {
  assert.equal(isLost({ lastAt: 100_000, askingSince: 1_000 }, 114_999), false);
  assert.equal(isLost({ lastAt: 100_000, askingSince: 1_000 }, 115_000), true);
  assert.equal(isLost({ lastAt: 20_000, askingSince: 1_000 }, 34_999), false);
  assert.equal(isLost({ lastAt: 20_000, askingSince: 1_000 }, 35_000), true);
});

test('after a start machines are awaited for 20 ms each and 3 min at most, while some still come', () => {
  assert.equal(areReturning({ machines: 1_500, elapsedMs: 30_000, quietMs: 0 }), false, 'few have the 30 s that all have');
  assert.equal(areReturning({ machines: 3_000, elapsedMs: 59_999, quietMs: 0 }), true);
  assert.equal(areReturning({ machines: 3_000, elapsedMs: 60_000, quietMs: 0 }), false);
  assert.equal(areReturning({ machines: 20_000, elapsedMs: 179_999, quietMs: 14_999 }), true);
  assert.equal(areReturning({ machines: 20_000, elapsedMs: 180_000, quietMs: 0 }), false);
  assert.equal(areReturning({ machines: 20_000, elapsedMs: 40_000, quietMs: 15_000 }), false, 'nobody comes any more');
});

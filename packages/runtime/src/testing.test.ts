import assert from 'node:assert/strict';
import { test } from 'node:test';
import { asCroftError, CroftError, isCode } from './errors.ts';
import { FakeClock, seededRandom } from './testing.ts';

test('sleeps end in the order of their times, equal ones in the order they began, each at its own instant', async () => {
  const clock = new FakeClock(1_000);
  const ends: [string, number][] = [];
  const sleep = (name: string, ms: number): Promise<void> => clock.sleep(ms).then(() => void ends.push([name, clock.now()]));
  const all = Promise.all([sleep('late', 30), sleep('first', 10), sleep('second', 10), sleep('middle', 20)]);
  await clock.advance(100);
  await all;
  assert.deepEqual(ends, [
    ['first', 1_010],
    ['second', 1_010],
    ['middle', 1_020],
    ['late', 1_030],
  ]);
  assert.equal(clock.now(), 1_100);
});

test('nothing ends before its time', async () => {
  const clock = new FakeClock();
  let ended = false;
  const sleeping = clock.sleep(10).then(() => (ended = true));
  await clock.advance(9);
  assert.equal(ended, false);
  assert.equal(clock.pending, 1);
  await clock.advance(1);
  await sleeping;
  assert.equal(clock.pending, 0);
});

test('a sleep begun while time advances ends too when its time is within the advance', async () => {
  const clock = new FakeClock(0);
  const wakes: number[] = [];
  const loop = (async () => {
    for (let turn = 0; turn < 5; turn += 1) {
      await clock.sleep(10);
      wakes.push(clock.now());
    }
  })();
  await clock.advance(35);
  assert.deepEqual(wakes, [10, 20, 30]);
  await clock.advance(15);
  await loop;
  assert.deepEqual(wakes, [10, 20, 30, 40, 50]);
});

test('a sleep that is broken off leaves no timer behind', async () => {
  const clock = new FakeClock();
  const controller = new AbortController();
  const reason = new CroftError('stopped', 'stopping');
  const sleeping = clock.sleep(10, { signal: controller.signal });
  controller.abort(reason);
  await assert.rejects(sleeping, (error) => error === reason);
  assert.equal(clock.pending, 0);
  await assert.rejects(clock.sleep(10, { signal: controller.signal }), (error) => error === reason);
});

test('a deadline aborts when it is reached and counts as a timeout', async () => {
  const clock = new FakeClock();
  const signal = clock.deadline(50);
  await clock.advance(49);
  assert.equal(signal.aborted, false);
  await clock.advance(1);
  assert.ok(isCode(asCroftError(signal.reason, 'internal', 'waiting'), 'timeout'));
});

test('monotonic time begins at nought and advances with the clock', async () => {
  const clock = new FakeClock();
  assert.equal(clock.monotonic(), 0);
  await clock.advance(1_234);
  assert.equal(clock.monotonic(), 1_234);
});

test('a seed repeats its chance, another seed does not', () => {
  const draw = (seed: number): string => {
    const random = seededRandom(seed);
    return `${random.fraction()} ${random.hex(8)} ${random.fraction()}`;
  };
  assert.equal(draw(7), draw(7));
  assert.notEqual(draw(7), draw(8));
  assert.match(seededRandom(1).hex(8), /^[0-9a-f]{16}$/);
});

test('seeded chance is spread over its range', () => {
  const random = seededRandom(42);
  const tenths = Array.from({ length: 10 }, () => 0);
  for (let draw = 0; draw < 10_000; draw += 1) {
    const fraction = random.fraction();
    assert.ok(fraction >= 0 && fraction < 1);
    const tenth = Math.floor(fraction * 10);
    tenths[tenth] = (tenths[tenth] ?? 0) + 1;
  }
  assert.ok(
    tenths.every((count) => count > 850 && count < 1_150),
    tenths.join(' '),
  );
});

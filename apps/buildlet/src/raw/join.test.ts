import assert from 'node:assert/strict';
import { once } from 'node:events';
import { duplexPair, type Duplex } from 'node:stream';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { test } from 'node:test';
import { FakeClock } from '@croft/runtime/testing';
import { join } from './join.ts';

function joined(clock: FakeClock, untilEither = false): { near: Duplex; far: Duplex; done: Promise<void> } {
  const [near, one] = duplexPair();
  const [far, other] = duplexPair();
  return { near, far, done: join(one, other, { clock, silentMs: 1_000, untilEither }) };
}

test('both are closed when both have ended', async () => {
  const { near, far, done } = joined(new FakeClock());
  near.end('a');
  assert.equal(String(await once(far, 'data')), 'a');
  far.end('b');
  assert.equal(String(await once(near, 'data')), 'b');
  await done;
});

test('one that has heard its last may speak as long as it does speak', async () => {
  const clock = new FakeClock();
  const { near, far, done } = joined(clock);
  near.resume().end();
  far.resume();
  await once(far, 'end');
  for (let times = 0; times < 5; times += 1) {
    far.write('still here');
    await nextTurn();
    await clock.advance(900);
  }
  let isDone = false;
  void done.then(() => (isDone = true));
  await nextTurn();
  assert.equal(isDone, false);
  await clock.advance(3_000);
  await done;
});

test('a lost end, and where it is so agreed an end that was ended, closes both', async () => {
  const lost = joined(new FakeClock());
  lost.near.on('error', () => {}).destroy();
  lost.far.resume();
  await once(lost.far, 'end');
  const ended = joined(new FakeClock(), true);
  ended.near.end('last');
  assert.equal(String(await once(ended.far, 'data')), 'last');
  await ended.done;
});

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { FakeClock } from '@croft/runtime/testing';
import { createLateHeads } from './late-heads.ts';

test('a head that is held goes out within 20 ms, each one once', async () => {
  const clock = new FakeClock();
  const heads = createLateHeads(clock);
  const sent: string[] = [];
  const head = (name: string): { flushHeaders(): void } => ({ flushHeaders: () => void sent.push(name) });
  using _first = heads.hold(head('first'));
  await clock.advance(6);
  using _second = heads.hold(head('second'));
  await clock.advance(4);
  assert.deepEqual(sent, ['first']);
  await clock.advance(10);
  assert.deepEqual(sent, ['first', 'second']);
  await clock.advance(100);
  using _third = heads.hold(head('third'));
  await clock.advance(10);
  assert.deepEqual(sent, ['first', 'second', 'third']);
});

test('the head of an answer that has ended is left alone', async () => {
  const clock = new FakeClock();
  const heads = createLateHeads(clock);
  {
    using _ = heads.hold({ flushHeaders: () => assert.fail('sent twice') });
    await clock.advance(5);
  }
  await clock.advance(50);
});

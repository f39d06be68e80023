import assert from 'node:assert/strict';
import { test } from 'node:test';
import { isCode } from '@croft/runtime/errors';
import { createGate, maxWaiting } from './gate.ts';

test('works run first come first served, never more than the gate is wide', async () => {
  const gate = createGate(2, 'testing');
  const order: number[] = [];
  let inside = 0;
  const work = (n: number) => async () => {
    inside += 1;
    assert.ok(inside <= 2);
    order.push(n);
    await Promise.resolve();
    inside -= 1;
    if (n === 3) throw new Error('three');
  };
  const ends = await Promise.allSettled([0, 1, 2, 3, 4, 5].map((n) => gate.run(work(n))));
  assert.deepEqual(order, [0, 1, 2, 3, 4, 5]);
  assert.deepEqual(ends.map((end) => end.status).indexOf('rejected'), 3);
});

test('when too many wait, the next one is refused and the others are served', async () => {
  const gate = createGate(1, 'testing');
  const held = Promise.withResolvers<void>();
  const served = [gate.run(() => held.promise), ...Array.from({ length: maxWaiting }, () => gate.run(async () => {}))];
  await assert.rejects(
    gate.run(async () => {}),
    (error) => isCode(error, 'exhausted'),
  );
  held.resolve();
  assert.equal((await Promise.all(served)).length, maxWaiting + 1);
});

test('a closed gate refuses new works and waits for those admitted', async () => {
  const gate = createGate(1, 'testing');
  const held = Promise.withResolvers<void>();
  let served = 0;
  const works = [gate.run(() => held.promise), gate.run(async () => void (served += 1))];
  const closed = gate.close();
  await assert.rejects(
    gate.run(async () => {}),
    (error) => isCode(error, 'stopped'),
  );
  held.resolve();
  await closed;
  assert.equal(served, 1);
  await Promise.all(works);
  await gate.close();
});

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createTurns } from './turns.ts';

test('as many as are allowed go at once, the others in the order in which they came', async () => {
  const turns = createTurns(2);
  const order: number[] = [];
  const [first, second] = [await turns.take({}), await turns.take({})];
  const waiting = [1, 2].map((n) => turns.take({}).then((giveBack) => (order.push(n), giveBack)));
  first();
  second();
  for (const giveBack of await Promise.all(waiting)) giveBack();
  assert.deepEqual(order, [1, 2]);
});

test('who goes away in the moment of being given the turn takes nobody else’s', async () => {
  const turns = createTurns(1);
  const giveBack = await turns.take({});
  const gone = new AbortController();
  const leaving = turns.take({ signal: gone.signal });
  const staying = turns.take({});
  giveBack();
  gone.abort(new Error('gone'));
  (await leaving)();
  (await staying)();
  (await turns.take({}))();
});

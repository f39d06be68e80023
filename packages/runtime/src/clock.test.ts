import assert from 'node:assert/strict';
import { test } from 'node:test';
import { anySignal, DAY, systemClock } from './clock.ts';
import { asCroftError, CroftError, isCode } from './errors.ts';

const stop = new CroftError('stopped', 'stopping');

test('a sleep ends by itself after its time', async () => {
  const before = systemClock.monotonic();
  await systemClock.sleep(20);
  assert.ok(systemClock.monotonic() - before >= 19);
});

test('a sleep that is broken off rejects with the very reason of its signal', async () => {
  const controller = new AbortController();
  const sleeping = systemClock.sleep(60_000, { signal: controller.signal });
  controller.abort(stop);
  await assert.rejects(sleeping, (error) => error === stop);
});

test('a sleep under a signal that is aborted already does not begin', async () => {
  await assert.rejects(systemClock.sleep(60_000, { signal: AbortSignal.abort(stop) }), (error) => error === stop);
});

test('a sleep longer than a timer can hold does not end at once', async () => {
  const controller = new AbortController();
  let ended = false;
  const sleeping = systemClock.sleep(400 * DAY, { signal: controller.signal }).finally(() => (ended = true));
  await systemClock.sleep(20);
  assert.equal(ended, false);
  controller.abort(stop);
  await assert.rejects(sleeping, (error) => error === stop);
});

test('a deadline aborts with a reason that counts as a timeout', async () => {
  const signal = systemClock.deadline(5);
  await new Promise<void>((resolve) => {
    const keepAlive = setTimeout(() => undefined, 10_000);
    signal.addEventListener('abort', () => resolve(clearTimeout(keepAlive)), { once: true });
  });
  assert.ok(isCode(asCroftError(signal.reason, 'internal', 'waiting'), 'timeout'));
});

test('a deadline takes fractions, the past and the far future', () => {
  for (const ms of [0.4, -5, 400 * DAY]) assert.equal(systemClock.deadline(ms).aborted, false, `${ms}`);
});

test('signals are joined and missing ones left out', () => {
  const controller = new AbortController();
  const joined = anySignal(undefined, controller.signal);
  assert.equal(joined.aborted, false);
  controller.abort(stop);
  assert.equal(joined.reason, stop);
  assert.equal(anySignal(undefined).aborted, false);
});

test('monotonic time does not go back', () => {
  const samples = Array.from({ length: 100 }, () => systemClock.monotonic());
  assert.deepEqual(
    samples,
    samples.toSorted((a, b) => a - b),
  );
});

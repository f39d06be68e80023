import assert from 'node:assert/strict';
import { test } from 'node:test';
import { CroftError } from '@croft/runtime/errors';
import { silentLog } from '@croft/runtime/log';
import { createBell } from '@croft/runtime/tasks';
import { FakeClock } from '@croft/runtime/testing';
import { doOnce, keepDoing, ringOrRest } from './keep-doing.ts';

/** Work that fails the first times. */
function failing(failures: number): { act: () => Promise<void>; times: () => number } {
  let times = 0;
  return {
    times: () => times,
    async act() {
      times += 1;
      if (times <= failures) throw new CroftError('unavailable', 'the database is gone');
    },
  };
}

test('a failure does not end what is done again and again; an abort does', async () => {
  const clock = new FakeClock();
  const stop = new AbortController();
  const work = failing(2);
  const doing = keepDoing(
    { name: 'sweep', firstMs: 500, everyMs: 1_000, act: work.act },
    { clock, log: silentLog },
    { signal: stop.signal },
  );
  const ended = assert.rejects(doing, /stopped/);
  await clock.advance(499);
  assert.equal(work.times(), 0);
  await clock.advance(5_000);
  assert.equal(work.times(), 5);
  stop.abort(new Error('stopped'));
  await ended;
});

test('what is to be done once is tried until it was done', async () => {
  const clock = new FakeClock();
  const work = failing(3);
  const doing = doOnce({ name: 'adoption', act: work.act }, { clock, log: silentLog }, { signal: new AbortController().signal });
  await clock.advance(10_000);
  await doing;
  assert.equal(work.times(), 4);
});

test('a rest ends at its time or at a ring, also one that came before', async () => {
  const clock = new FakeClock();
  const bell = createBell();
  const signal = new AbortController().signal;
  const untilRung = ringOrRest(bell, 60_000, { clock, signal });
  bell.ring();
  await untilRung;
  bell.ring();
  await ringOrRest(bell, 60_000, { clock, signal });
  let rested = false;
  const rest = ringOrRest(bell, 60_000, { clock, signal }).then(() => (rested = true));
  await clock.advance(59_999);
  assert.equal(rested, false);
  await clock.advance(1);
  await rest;
  assert.equal(clock.pending, 0);
});

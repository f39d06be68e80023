import assert from 'node:assert/strict';
import { test } from 'node:test';
import { MINUTE, SECOND } from '@croft/runtime/clock';
import { CroftError, isCode } from '@croft/runtime/errors';
import { silentLog } from '@croft/runtime/log';
import { FakeClock, seededRandom } from '@croft/runtime/testing';
import { keepTrying } from './keep-trying.ts';
import type { Work } from './work.ts';

const work = { build: 'B0123456789abcdef', attempt: 1, lease: { id: 'L0123456789abcdef', machine: 'm-1', epoch: 1 } } as Work;
const unreachable = async (): Promise<never> => {
  throw new CroftError('unavailable', 'connection refused');
};

function trying(): { clock: FakeClock; looks: () => number; options: Parameters<typeof keepTrying>[1]; stop: AbortController } {
  const clock = new FakeClock();
  const stop = new AbortController();
  let looks = 0;
  const farm = { clock, random: seededRandom(1), log: silentLog, onUnreachable: () => void (looks += 1) };
  return { clock, looks: () => looks, stop, options: { work, farm, signal: stop.signal } };
}

test('what cannot be reached is tried again, and each failure makes somebody look at the machine', async () => {
  const { clock, looks, options } = trying();
  let calls = 0;
  const result = keepTrying(async () => ((calls += 1) < 4 ? unreachable() : 'done'), options);
  await clock.advance(20 * SECOND);
  assert.equal(await result, 'done');
  assert.equal(looks(), 3);
});

test('an answer that is a refusal is not tried again', async () => {
  const { looks, options } = trying();
  const refusal = new CroftError('stale', 'taken over');
  await assert.rejects(
    keepTrying(async () => {
      throw refusal;
    }, options),
    refusal,
  );
  assert.equal(looks(), 0);
});

test('whoever declares the machine lost ends it', async () => {
  const { clock, options, stop } = trying();
  const result = keepTrying(unreachable, options);
  const refused = assert.rejects(result, /lost/);
  await clock.advance(SECOND);
  stop.abort(new Error('lost'));
  await refused;
});

test('a machine that is never lost and never does anything is unfit after ten minutes without progress', async () => {
  const { clock, options } = trying();
  let progress = 0;
  const result = keepTrying(unreachable, { ...options, progress: () => progress });
  const refused = assert.rejects(result, (error) => isCode(error, 'exhausted') && /m-1 .* connection refused/.test(error.message));
  let ended = false;
  void refused.then(() => (ended = true));
  await clock.advance(9 * MINUTE);
  progress += 1;
  await clock.advance(9 * MINUTE);
  assert.equal(ended, false);
  await clock.advance(2 * MINUTE);
  await refused;
});

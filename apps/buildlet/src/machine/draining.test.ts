import assert from 'node:assert/strict';
import { test, type TestContext } from 'node:test';
import { silentLog } from '@croft/runtime/log';
import { createTaskGroup } from '@croft/runtime/tasks';
import { FakeClock } from '@croft/runtime/testing';
import { watchDraining, type Draining } from './draining.ts';

const quietMs = 10_000;

interface Scene {
  readonly draining: Draining;
  readonly clock: FakeClock;
  readonly runs: string[];
  readonly drain: AbortController;
  ended(): boolean;
}

function openScene(context: TestContext): Scene {
  const clock = new FakeClock();
  const drain = new AbortController();
  const runs: string[] = [];
  let ended = false;
  const tasks = createTaskGroup((_, error) => assert.fail(String(error)));
  context.after(() => tasks[Symbol.asyncDispose]());
  const ending = { update: () => void (ended = true) };
  const parts = { drain: drain.signal, quietMs, runs: { list: () => runs }, ending, tasks, clock, log: silentLog };
  return { draining: watchDraining(parts), clock, runs, drain, ended: () => ended };
}

test('nothing ends before it is asked for', async (context) => {
  const { clock, draining, ended } = openScene(context);
  await clock.advance(100 * quietMs);
  assert.deepEqual([draining.asked, ended()], [false, false]);
});

test('an idle buildlet ends when it has been quiet for long enough', async (context) => {
  const { clock, draining, drain, ended } = openScene(context);
  drain.abort();
  assert.ok(draining.asked);
  await clock.advance(quietMs - 1);
  assert.ok(!ended());
  await clock.advance(1);
  assert.ok(ended());
});

test('it waits for runs that are alive or uncollected, and then for quiet', async (context) => {
  const { clock, runs, drain, ended } = openScene(context);
  runs.push('B1.1.a');
  drain.abort();
  await clock.advance(50 * quietMs);
  assert.ok(!ended());
  runs.pop();
  await clock.advance(quietMs / 2);
  assert.ok(!ended());
  await clock.advance(quietMs);
  assert.ok(ended());
});

test('it waits for an upload or a command of Go’s, and each ask puts it off', async (context) => {
  const { clock, draining, drain, ended } = openScene(context);
  const uploaded = draining.work();
  drain.abort();
  await clock.advance(5 * quietMs);
  uploaded();
  for (let asks = 0; asks < 3; asks += 1) {
    await clock.advance(quietMs - 1);
    assert.ok(!ended());
    draining.work()();
  }
  await clock.advance(quietMs);
  assert.ok(ended());
});

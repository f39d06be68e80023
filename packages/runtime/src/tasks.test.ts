import assert from 'node:assert/strict';
import { once } from 'node:events';
import { test } from 'node:test';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { CroftError, isCode } from './errors.ts';
import { createBell, createTaskGroup } from './tasks.ts';

type Report = [name: string, error: unknown];

function reportingGroup(): { group: ReturnType<typeof createTaskGroup>; reports: Report[] } {
  const reports: Report[] = [];
  return { group: createTaskGroup((name, error) => reports.push([name, error])), reports };
}

test('a task that fails is reported once, by name, and the others go on', async () => {
  const { group, reports } = reportingGroup();
  const failure = new Error('broken');
  const gate = Promise.withResolvers<void>();
  group.start('bad', async () => {
    throw failure;
  });
  group.start('good', () => gate.promise);
  await nextTurn();
  assert.deepEqual(reports, [['bad', failure]]);
  assert.equal(group.size, 1);
  gate.resolve();
  await group.idle();
  await group[Symbol.asyncDispose]();
  assert.equal(reports.length, 1);
});

test('disposal tells the tasks to stop and waits for them', async () => {
  const { group, reports } = reportingGroup();
  const cleaned = Promise.withResolvers<void>();
  let ended = false;
  group.start('server', async ({ signal }) => {
    await once(signal, 'abort');
    assert.ok(isCode(signal.reason, 'stopped'));
    await cleaned.promise;
    ended = true;
  });
  const disposed = group[Symbol.asyncDispose]().then(() => ended);
  await nextTurn();
  assert.equal(group.size, 1);
  cleaned.resolve();
  assert.equal(await disposed, true);
  assert.deepEqual(reports, []);
});

test('a task that fails because it was told to stop is not an error', async () => {
  const { group, reports } = reportingGroup();
  group.start('sleeper', async ({ signal }) => {
    await once(signal, 'abort');
    signal.throwIfAborted();
  });
  await group[Symbol.asyncDispose]();
  assert.deepEqual(reports, []);
  assert.equal(group.size, 0);
});

test('no task starts after disposal', async () => {
  const { group } = reportingGroup();
  await group[Symbol.asyncDispose]();
  let started = false;
  group.start('late', async () => {
    started = true;
  });
  await group.idle();
  assert.equal(started, false);
});

test('disposing twice is no error', async () => {
  const { group } = reportingGroup();
  await group[Symbol.asyncDispose]();
  await group[Symbol.asyncDispose]();
});

test('idle waits for tasks that a task starts', async () => {
  const { group } = reportingGroup();
  const ended: string[] = [];
  group.start('outer', async () => {
    await nextTurn();
    group.start('inner', async () => {
      await nextTurn();
      ended.push('inner');
    });
    ended.push('outer');
  });
  await group.idle();
  assert.deepEqual(ended, ['outer', 'inner']);
});

async function pending(promise: Promise<unknown>): Promise<boolean> {
  const marker = {};
  const winner: unknown = await Promise.race([promise, nextTurn().then(() => marker)]);
  return winner === marker;
}

test('any number of rings ends one wait, and the next wait waits', async () => {
  const bell = createBell();
  const first = bell.wait({});
  bell.ring();
  bell.ring();
  await first;
  const controller = new AbortController();
  const second = bell.wait({ signal: controller.signal });
  assert.equal(await pending(second), true);
  controller.abort(new CroftError('stopped', 'stopping'));
  await assert.rejects(second);
});

test('a ring between two waits is not lost', async () => {
  const bell = createBell();
  bell.ring();
  bell.ring();
  await bell.wait({});
  const next = bell.wait({});
  assert.equal(await pending(next), true);
  bell.ring();
  await next;
});

test('a wait that is broken off rejects with the reason and leaves the next ring to the next wait', async () => {
  const bell = createBell();
  const reason = new CroftError('stopped', 'stopping');
  const controller = new AbortController();
  const broken = bell.wait({ signal: controller.signal });
  controller.abort(reason);
  bell.ring();
  await assert.rejects(broken, (error) => error === reason);
  await bell.wait({});
  await assert.rejects(bell.wait({ signal: controller.signal }), (error) => error === reason);
});

test('a wait that begins before a broken one has cleaned up is woken', async () => {
  const bell = createBell();
  const controller = new AbortController();
  const broken = bell.wait({ signal: controller.signal });
  controller.abort(new CroftError('stopped', 'stopping'));
  const next = bell.wait({});
  await assert.rejects(broken);
  bell.ring();
  await next;
});

test('a ring ends every wait under way', async () => {
  const bell = createBell();
  const waits = [bell.wait({}), bell.wait({})];
  bell.ring();
  await Promise.all(waits);
});

/** An old holder that wakes up and writes is refused, on every endpoint that changes something. */
import assert from 'node:assert/strict';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { request as httpRequest } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { gzipSync } from 'node:zlib';
import { FakeClock } from '@croft/runtime/testing';
import { createTaskGroup } from '@croft/runtime/tasks';
import { isCode } from '@croft/runtime/errors';
import { ask, complete, runId, shell, spec, startMachine, withCode } from '../testing.ts';
import { openFence } from './fence.ts';
import { watchLiveness } from './liveness.ts';

const emptyTar = gzipSync(Buffer.alloc(1024));

async function* once(bytes: Uint8Array): AsyncGenerator<Uint8Array> {
  yield bytes;
}

test('after a newer lease was seen, every write of the old holder is stale, also after kill -9', async () => {
  await using machine = await startMachine();
  const { client, process: buildlet } = machine;
  await complete(client, 'ended', spec(['true']));
  await client.startOrAttach(runId('running'), shell('sleep 1000'), 1, {});
  await client.removeAll(['nothing'], 5, {});

  const oldHolder = async (): Promise<void> => {
    const stale = (error: unknown): boolean => withCode('stale')(error) && isCode(error, 'stale') && error.fields['epoch'] === 5;
    await assert.rejects(client.startOrAttach(runId('new'), spec(['touch', 'written']), 4, {}), stale);
    await assert.rejects(client.startOrAttach(runId('ended'), spec(['true']), 4, {}), stale);
    await assert.rejects(client.ack(runId('ended'), 0, 4, {}), stale);
    await assert.rejects(client.signal(runId('running'), 'SIGTERM', 4, {}), stale);
    await assert.rejects(client.cancel(runId('running'), 'mine', 4, {}), stale);
    await assert.rejects(client.collect(runId('ended'), 4, {}), stale);
    await assert.rejects(client.putTarGz('x', once(emptyTar), 4, {}), stale);
    await assert.rejects(client.removeAll(['.'], 4, {}), stale);
    await assert.rejects(client.halt(4, {}), stale);
  };
  await oldHolder();
  const answer = await ask(buildlet, { method: 'POST', path: '/removeall?path=x', headers: { 'Croft-Epoch': '4' } });
  assert.equal(answer.status, 412);
  assert.deepEqual({ ...JSON.parse(answer.body), message: '', hint: '' }, { code: 'stale', message: '', hint: '', epoch: 5 });
  await buildlet.kill9();
  await buildlet.restart();
  assert.equal((await client.status({})).Croft?.epoch, 5);
  await oldHolder();
  assert.equal(await client.run(runId('new'), {}), 'unknown');
  await client.collect(runId('ended'), 5, {});
});

test('Go’s programs, which send no epoch, are served on Go’s endpoints', async () => {
  await using machine = await startMachine();
  await machine.client.removeAll(['x'], 9, {});
  assert.equal((await ask(machine.process, { method: 'POST', path: '/removeall?path=x' })).status, 200);
  assert.equal((await ask(machine.process, { method: 'PUT', path: '/writetgz', body: emptyTar })).status, 200);
});

test('an upload under way is aborted when a newer lease arrives, which waits until it has stopped', async () => {
  await using machine = await startMachine();
  const { client, process: buildlet } = machine;
  const slow = httpRequest({
    socketPath: buildlet.address.socketPath,
    method: 'PUT',
    path: '/writetgz?dir=slow',
    headers: {
      Authorization: `Basic ${Buffer.from(`:${buildlet.address.password}`).toString('base64')}`,
      'Croft-Epoch': '1',
      Expect: '100-continue',
    },
  });
  const answered = new Promise<number>((resolve, reject) => {
    slow.on('response', (response) => resolve(response.resume().statusCode ?? 0));
    slow.on('error', reject);
  });
  const head = gzipSync(Buffer.alloc(512 * 100)).subarray(0, 20);
  await new Promise<void>((resolve) => {
    slow.on('continue', resolve);
    slow.flushHeaders();
  });
  slow.write(head);
  await client.removeAll(['slow'], 2, {});
  assert.equal(await answered, 412);
  slow.destroy();
});

test('an admission waits for older ones, and a failed store of the epoch is tried again', async () => {
  const dir = await mkdtemp(join(tmpdir(), 'croft-fence-'));
  try {
    const fence = await openFence(dir);
    const old = await fence.enter(3);
    const order: string[] = [];
    const newer = fence.enter(4).then((admission) => {
      order.push('newer');
      return admission;
    });
    assert.ok(old.signal.aborted && isCode(old.signal.reason, 'stale'));
    await assert.rejects(fence.enter(3), withCode('stale'));
    order.push('old leaves');
    old[Symbol.dispose]();
    const admission = await newer;
    assert.deepEqual(order, ['old leaves', 'newer']);
    assert.equal(await readFile(join(dir, 'epoch'), 'utf8'), '4');
    assert.ok(!admission.signal.aborted);

    await rm(dir, { recursive: true });
    await assert.rejects(fence.enter(6));
    await assert.rejects(fence.enter(6), 'it is not admitted because the number was seen before');
    const { mkdir } = await import('node:fs/promises');
    await mkdir(dir);
    admission[Symbol.dispose]();
    await fence.enter(6);
    assert.equal((await openFence(dir)).highest, 6);
  } finally {
    await rm(dir, { recursive: true, force: true });
  }
});

test('half an hour without a sign of life makes an orphan, and each sign starts it anew', async () => {
  const clock = new FakeClock();
  await using tasks = createTaskGroup(() => {});
  const liveness = watchLiveness(30 * 60_000, { clock, tasks });
  let orphaned = false;
  void liveness.orphaned.then(() => (orphaned = true));
  for (let round = 0; round < 10; round += 1) {
    await clock.advance(29 * 60_000);
    liveness.heard();
  }
  await clock.advance(30 * 60_000 - 1);
  assert.equal(orphaned, false);
  await clock.advance(1);
  assert.equal(orphaned, true);
});

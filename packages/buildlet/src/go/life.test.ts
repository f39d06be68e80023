/** Heartbeats, death and closing (buildlet.md 3.2, 3.3). */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { errorText, isCode, type CroftError } from '@croft/runtime/errors';
import { FakeClock } from '@croft/runtime/testing';
import { createFakeMachine } from '../fake.ts';
import { createGoClient } from '../go-client.ts';

const period = 10_000;

function stage() {
  const clock = new FakeClock();
  const machine = createFakeMachine({ clock, commands: { hang: () => new Promise(() => undefined) } });
  const deaths: CroftError[] = [];
  const client = createGoClient(machine.address, { clock, onHeartbeatFailure: (why) => void deaths.push(why) });
  return { clock, machine, deaths, client, [Symbol.asyncDispose]: () => client[Symbol.asyncDispose]() };
}

/** Time goes on while what is under way over streams comes to its end. */
async function pass(clock: FakeClock, ms: number): Promise<void> {
  for (let turn = 0; turn < 30; turn += 1) await new Promise((resolve) => setImmediate(resolve));
  await clock.advance(ms);
  for (let turn = 0; turn < 30; turn += 1) await new Promise((resolve) => setImmediate(resolve));
}

test('nothing is asked before the first call, and then every 10 s', async () => {
  await using at = stage();
  await pass(at.clock, 3 * period);
  assert.deepEqual(at.machine.asked, []);
  await at.client.workDir({});
  for (let beat = 1; beat <= 3; beat += 1) {
    await pass(at.clock, period);
    assert.equal(at.machine.asked.filter((line) => line === 'GET /status').length, beat);
  }
});

test('the third heartbeat in a row that fails is the end, once; an answer between them begins the count anew', async () => {
  await using at = stage();
  await at.client.workDir({});
  at.machine.become('away');
  await pass(at.clock, period);
  await pass(at.clock, period);
  at.machine.become('here');
  await pass(at.clock, period);
  at.machine.become('away');
  await pass(at.clock, period);
  await pass(at.clock, period);
  assert.deepEqual(at.deaths, []);
  await pass(at.clock, period);
  await pass(at.clock, 10 * period);
  assert.equal(at.deaths.length, 1);
  assert.match(errorText(at.deaths[0]), /^Buildlet http:\/\/fake failed heartbeat after 30s; marking dead; err=/);
  assert.ok(at.client.isBroken);
});

test('death ends what waits; status then fails without a request, and others may still try', async () => {
  await using at = stage();
  const waiting = assert.rejects(at.client.exec('hang', { systemLevel: true }, {}), /failed heartbeat/);
  await pass(at.clock, 0);
  at.machine.become('silent');
  for (let beat = 0; beat < 3; beat += 1) {
    await pass(at.clock, period);
    await pass(at.clock, 2 * period); // until the heartbeat is given up
  }
  await waiting;
  at.machine.become('here');
  const before = at.machine.asked.length;
  await assert.rejects(at.client.status({}), (error) => error === at.deaths[0]);
  assert.equal(at.machine.asked.length, before);
  assert.equal(await at.client.workDir({}), '/workdir');
});

test('closing halts the machine, calls back in reverse, and is a death of its own kind', async () => {
  await using at = stage();
  const order: string[] = [];
  at.client.addCloseFunc(() => void order.push('first'));
  at.client.addCloseFunc(() => void order.push('second'));
  await Promise.all([at.client.close(), at.client.close()]);
  assert.ok(at.machine.isHalted);
  assert.deepEqual(order, ['second', 'first']);
  assert.equal(at.deaths.length, 1);
  assert.ok(isCode(at.deaths[0], 'stopped') && errorText(at.deaths[0]) === 'buildlet: Client closed');
  await assert.rejects(at.client.status({}), /Client closed/);
});

test('who is called back and fails, fails the closing; the machine is dead all the same', async () => {
  await using at = stage();
  at.client.addCloseFunc(() => {
    throw new Error('the machine’s disk cannot be deleted');
  });
  await assert.rejects(at.client.close(), /cannot be deleted/);
  assert.equal(at.deaths.length, 1);
});

test('a machine that is gone is closed all the same, and its absence is the reason', async () => {
  await using at = stage();
  at.machine.become('away');
  await at.client.close();
  assert.match(errorText(at.deaths[0]), /cannot be reached/);
});

test('disposing leaves the machine as it is', async () => {
  const at = stage();
  await at.client.workDir({});
  await at.client[Symbol.asyncDispose]();
  assert.equal(at.machine.isHalted, false);
  assert.deepEqual(at.deaths, []);
});

test('a mark says broken and nothing else', async () => {
  await using at = stage();
  at.client.markBroken();
  assert.ok(at.client.isBroken);
  assert.equal((await at.client.status({})).Version, 25);
});

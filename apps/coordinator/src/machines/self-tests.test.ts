/** Which machines are asked to test themselves, when, and what is made of their answers. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Buildlet } from '@croft/buildlet/client';
import type { MachineId } from '@croft/domain/names';
import type { Observed } from '@croft/fleet/pool';
import type { SelfTest, SelfTestRequest } from '@croft/protocol/self-test';
import { MINUTE } from '@croft/runtime/clock';
import { CroftError } from '@croft/runtime/errors';
import { silentLog } from '@croft/runtime/log';
import { createTaskGroup } from '@croft/runtime/tasks';
import { FakeClock } from '@croft/runtime/testing';
import { createSelfTests, type SelfTests } from './self-tests.ts';

const fresh: SelfTest = { at: 1, checks: [{ name: 'disk', ok: true, found: 'fast' }] };
const machine = (over: Partial<Observed> = {}): Observed => ({
  id: 'worker-1' as MachineId,
  hostType: 'linux',
  labels: [],
  state: 'up',
  boot: 'a',
  selfTest: fresh,
  ...over,
});

interface Stage extends AsyncDisposable {
  readonly clock: FakeClock;
  readonly tests: SelfTests;
  machines: Observed[];
  tools: string[];
  /** Each machine's answers; one that is not there does not answer. */
  lacks: string[] | undefined;
  readonly asked: string[];
  readonly warned: string[];
  start(): void;
}

function openStage(): Stage {
  const clock = new FakeClock();
  const tasks = createTaskGroup((_, error) => assert.fail(String(error)));
  const warned: string[] = [];
  const state = { machines: [machine()], tools: [] as string[], lacks: [] as string[] | undefined, asked: [] as string[] };
  const log = { ...silentLog, warn: (message: string) => void warned.push(message) };
  const tests = createSelfTests({ tools: () => stage.tools, clock, log });
  const answer = (id: MachineId, { tools, now }: SelfTestRequest): SelfTest => {
    stage.asked.push(`${id} ${tools.join()}`);
    const { lacks } = stage;
    if (!lacks) throw new CroftError('unavailable', 'it is gone');
    const of = tools.map((tool) => ({ name: `tool ${tool}`, ok: !lacks.includes(tool), found: lacks.includes(tool) ? 'not in PATH' : '' }));
    const selfTest = { at: now ?? 0, checks: [...fresh.checks, { name: 'clock', ok: true, found: '' }, ...of] };
    stage.machines = stage.machines.map((one) => (one.id === id ? { ...one, selfTest } : one));
    return selfTest;
  };
  let begin = (): void => {};
  const stage: Stage = Object.assign(state, {
    clock,
    start: () => begin(),
    tests,
    warned,
    [Symbol.asyncDispose]: () => tasks[Symbol.asyncDispose](),
  });
  const machines = {
    list: () => stage.machines.map((observed) => ({ observed, pool: 'local', seenAt: 0 })),
    connect: (id: MachineId) => ({ selfTest: async (asked: SelfTestRequest) => answer(id, asked) }) as Partial<Buildlet> as Buildlet,
    look: () => tests.look(),
  };
  begin = () => tasks.start('self-tests', (waits) => tests.run(machines, waits));
  return stage;
}

const held = ({ tests, machines }: Stage): (string | undefined)[] => machines.map((one) => tests.whyHeld(one));

test('a machine is asked once before its first work, and takes work when it has passed', async () => {
  await using stage = openStage();
  assert.deepEqual(held(stage), ['is asked to test itself']);
  stage.start();
  await stage.clock.advance(10 * MINUTE);
  assert.deepEqual(stage.asked, ['worker-1 ']);
  assert.deepEqual(held(stage), [undefined]);
});

test('it is asked again when its buildlet was started anew and when its host type has other tools', async () => {
  await using stage = openStage();
  stage.start();
  await stage.clock.advance(0);
  stage.machines = [machine({ boot: 'b' })];
  stage.tests.look();
  await stage.clock.advance(0);
  stage.tools = ['go', 'git'];
  assert.deepEqual(held(stage), ['is asked to test itself']);
  stage.tests.look();
  await stage.clock.advance(0);
  assert.deepEqual(stage.asked, ['worker-1 ', 'worker-1 ', 'worker-1 go,git']);
  assert.deepEqual(held(stage), [undefined]);
});

test('one that lacks a tool takes no work and says which, is asked again, and works once it is there or no longer wanted', async () => {
  await using stage = openStage();
  stage.tools = ['go'];
  stage.lacks = ['go'];
  stage.start();
  await stage.clock.advance(0);
  assert.deepEqual(held(stage), ['did not pass its self-test (tool go)']);
  assert.deepEqual(stage.warned, ['machine failed its self-test']);
  await stage.clock.advance(5 * MINUTE - 1_000);
  assert.equal(stage.asked.length, 1);
  stage.lacks = [];
  await stage.clock.advance(2 * MINUTE);
  assert.equal(stage.asked.length, 2);
  assert.deepEqual(held(stage), [undefined]);
  stage.machines = [
    machine({
      selfTest: {
        at: 1,
        checks: [
          { name: 'clock', ok: true, found: '' },
          { name: 'tool go', ok: false, found: '' },
        ],
      },
    }),
  ];
  stage.tools = [];
  assert.deepEqual(held(stage), [undefined]);
});

test('one that does not answer is asked again after a minute', async () => {
  await using stage = openStage();
  stage.lacks = undefined;
  stage.start();
  await stage.clock.advance(MINUTE - 1_000);
  assert.equal(stage.asked.length, 1);
  await stage.clock.advance(2_000);
  assert.equal(stage.asked.length, 2);
  assert.deepEqual(held(stage), ['is asked to test itself']);
});

test('Go’s buildlets and older ones are taken as they are; one that is testing itself, or away, is left alone', async () => {
  await using stage = openStage();
  stage.machines = [
    machine({ selfTest: undefined, boot: undefined }),
    machine({ id: 'worker-2' as MachineId, selfTest: { at: 0, checks: [] } }),
    machine({ id: 'worker-3' as MachineId, state: 'silent' }),
  ];
  stage.start();
  await stage.clock.advance(10 * MINUTE);
  assert.deepEqual(stage.asked, []);
  assert.deepEqual(held(stage), [undefined, 'is testing itself', 'is asked to test itself']);
});

test('thousands are not asked at once', async () => {
  await using stage = openStage();
  stage.machines = Array.from({ length: 100 }, (_, index) => machine({ id: `worker-${index}` as MachineId }));
  stage.start();
  await stage.clock.advance(0);
  await stage.clock.advance(0);
  assert.equal(new Set(stage.asked).size, stage.asked.length);
  await stage.clock.advance(2 * MINUTE);
  assert.equal(stage.asked.length, 100);
});

test('what was tested for a tool that nobody asks for any more is not shown', async () => {
  await using stage = openStage();
  stage.tools = ['go'];
  stage.lacks = ['go'];
  stage.start();
  await stage.clock.advance(0);
  const shown = (): string[] => stage.machines.flatMap((one) => stage.tests.shown(one)?.checks.map(({ name }) => name) ?? []);
  assert.ok(shown().includes('tool go'));
  stage.tools = [];
  assert.ok(shown().length > 0 && !shown().includes('tool go'));
});

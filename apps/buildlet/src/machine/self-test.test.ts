/** What a machine finds out about itself. */
import assert from 'node:assert/strict';
import { chmod, mkdtempDisposable, readdir, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { maxTools, selfTestSchema, type SelfTest, type SelfTestRequest } from '@croft/protocol/self-test';
import { systemClock, type Clock } from '@croft/runtime/clock';
import { createTaskGroup } from '@croft/runtime/tasks';
import { FakeClock } from '@croft/runtime/testing';
import { ask, startMachine, until, type TestMachine } from '../testing.ts';
import { lineStatus } from './routes.ts';
import { createSelfTester, type SelfTester } from './self-test.ts';

interface Stage extends AsyncDisposable {
  readonly tester: SelfTester;
  readonly dir: string;
  busy: boolean;
  low: boolean;
  results: number;
}

async function openStage(clock: Clock = systemClock, dirs?: readonly string[]): Promise<Stage> {
  const place = await mkdtempDisposable(join(tmpdir(), 'croft-self-test-'));
  const tasks = createTaskGroup((_, error) => assert.fail(String(error)));
  const stage = { dir: place.path, busy: false, low: false, results: 0 };
  const tester = createSelfTester({
    dirs: dirs ?? [place.path, place.path],
    path: `${place.path}:/usr/bin:/bin`,
    disk: { check: async () => ({ freeBytes: 12_345_000_000, low: stage.low }) },
    runs: { list: () => (stage.busy ? [{ hasEnded: false } as never] : []) },
    tasks,
    clock,
    onResult: () => void (stage.results += 1),
  });
  return Object.assign(stage, {
    tester,
    async [Symbol.asyncDispose]() {
      await tasks[Symbol.asyncDispose]();
      await place.remove();
    },
  });
}

const found = ({ checks }: SelfTest, name: string): string | undefined => {
  const check = checks.find((one) => one.name === name);
  return check && `${check.ok ? 'ok' : 'NO'} ${check.found}`;
};

test('a machine that is well passes, and leaves nothing behind', async () => {
  await using stage = await openStage();
  const result = await stage.tester.test({ tools: ['sh'], now: systemClock.now() });
  assert.deepEqual(
    result.checks.filter(({ ok }) => !ok),
    [],
  );
  assert.ok(selfTestSchema.safeParse(result).success);
  assert.match(found(result, 'clock') ?? '', /^ok \d\.\d s (?:ahead of|behind) the coordinator$/);
  assert.match(found(result, 'tool sh') ?? '', /^ok .*\/sh$/);
  assert.equal(found(result, 'free disk'), 'ok 12.3 GB');
  assert.match(found(result, 'disk') ?? '', /^ok 2 MiB written, made safe and read in \d+ ms$/);
  assert.equal(found(result, 'loopback'), 'ok answers');
  assert.deepEqual(await readdir(stage.dir), []);
});

test('what is wrong is told for each thing', async () => {
  await using stage = await openStage();
  stage.low = true;
  await writeFile(join(stage.dir, 'not-to-run'), '');
  await chmod(join(stage.dir, 'not-to-run'), 0o644);
  const hour = 60 * 60_000;
  const result = await stage.tester.test({ tools: ['no-such-tool', 'not-to-run'], now: systemClock.now() + hour });
  assert.match(found(result, 'clock') ?? '', /^NO 3[56]\d\d\.\d s behind the coordinator$/);
  assert.match(found(result, 'tool no-such-tool') ?? '', /^NO not in PATH \(.*:\/usr\/bin:\/bin\)$/);
  assert.match(found(result, 'tool not-to-run') ?? '', /^NO /);
});

test('a disk that cannot be written is told, and one that hangs is given ten seconds', async () => {
  await using missing = await openStage(systemClock, ['/no/such/directory']);
  assert.match(found(await missing.tester.test({ tools: [] }), 'disk') ?? '', /^NO .*no such file/);
  const clock = new FakeClock();
  const tasks = createTaskGroup(() => {});
  await using _owned = tasks;
  const never = new Promise<never>(() => {});
  const deps = { dirs: [tmpdir()], path: '', runs: { list: () => [] }, tasks, clock, onResult: () => {} };
  const tester = createSelfTester({ ...deps, disk: { check: () => never } });
  assert.equal(tester.result.at, 0, 'nothing is known yet');
  let result: SelfTest | undefined;
  void tester.test({ tools: [] }).then((ended) => (result = ended));
  const ended = await until('the limit has passed', async () => {
    await clock.advance(1_000);
    return result;
  });
  assert.equal(found(ended, 'free disk'), 'NO took longer than 10 s');
});

test('it is repeated after hours, not while anything runs, and what the coordinator asked for stays known', async () => {
  const clock = new FakeClock();
  await using stage = await openStage(clock);
  await stage.tester.test({ tools: ['sh'], now: clock.now() + 10_000 });
  const { results } = stage;
  stage.busy = true;
  await clock.advance(7 * 60 * 60_000);
  assert.equal(stage.results, results);
  stage.busy = false;
  await clock.advance(10 * 60_000);
  await until('it was repeated', () => stage.results === results + 1);
  assert.equal(found(stage.tester.result, 'clock'), 'ok 10.0 s behind the coordinator');
  assert.match(found(stage.tester.result, 'tool sh') ?? '', /^ok /);
});

test('what is told over a line fits, with the names of all tools', async () => {
  const tools = Array.from({ length: maxTools }, (_, index) => `tool-of-${index}`);
  const checks = [
    ...tools.map((tool) => ({ name: `tool ${tool}`, ok: false, found: 'x'.repeat(500) })),
    { name: 'clock', ok: true, found: 'fine' },
  ];
  const has = { boot: 'b', epoch: 1, runs: 0, freeBytes: 1_000_000_001, lowDisk: false, pid: 1 };
  const told = lineStatus({ Version: 25, Croft: { ...has, selfTest: { at: 5, checks } } });
  assert.ok(JSON.stringify({ command: 'status', status: told }).length < 4096);
  assert.equal(told?.selfTest?.checks.length, checks.length);
  assert.equal(told?.selfTest?.checks[0]?.found.length, 400);
});

describe('a buildlet', () => {
  let machine: TestMachine;
  before(async () => {
    machine = await startMachine();
  });
  after(() => machine[Symbol.asyncDispose]());

  test('tests itself at its start, again when it is asked, and tells both in its status', async () => {
    const first = await until('the first one has ended', async () => {
      const result = (await machine.client.status({})).Croft?.selfTest;
      return result !== undefined && result.at > 0 && result;
    });
    assert.equal(found(first, 'clock'), undefined);
    const asked = await machine.client.selfTest({ tools: ['sh'], now: systemClock.now() }, {});
    assert.deepEqual((await machine.client.status({})).Croft?.selfTest, asked);
    assert.match(found(asked, 'tool sh') ?? '', /^ok /);
  });

  test('is asked for names of programs, with its password', async () => {
    const post = (body: unknown, password = machine.process.address.password) =>
      ask(machine.process, { method: 'POST', path: '/selftest', body: JSON.stringify(body), password });
    assert.equal((await post({ tools: [] }, 'guessed')).status, 403);
    for (const wrong of [
      {},
      { tools: ['../sh'] },
      { tools: ['a b'] },
      { tools: ['-x'] },
      { tools: [], more: 1 },
      { tools: Array(51).fill('sh') },
    ] as (SelfTestRequest | object)[])
      assert.equal((await post(wrong)).status, 400, JSON.stringify(wrong));
    assert.equal((await ask(machine.process, { path: '/selftest' })).status, 400);
  });
});

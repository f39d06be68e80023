/** Services beside the steps of real builds on a real machine: found at their address, ready in time, gone afterwards, whoever is killed. */
import assert from 'node:assert/strict';
import { join } from 'node:path';
import { test } from 'node:test';
import { createBuildlet, type Buildlet } from '@croft/buildlet/client';
import type { Service } from '@croft/domain/job';
import type { BuildId } from '@croft/domain/names';
import type { AttemptEnd } from '@croft/domain/outcome';
import { systemClock } from '@croft/runtime/clock';
import { artifactFiles, artifactsOf } from '@croft/store/artifacts';
import { createAttemptLogs } from '../logs/attempt-logs.ts';
import { runBuild } from '../builds/run-build.ts';
import { incarnate, machine, openBench, queueBuild, step, type Bench } from '../builds/testing.ts';

/** Answers each connection with its greeting. */
const serve = `
  const port = Number(process.env.PORT);
  require('node:net').createServer((socket) => socket.on('error', () => {}).end('hello from ' + process.env.GREETING)).listen(port, process.env.HOST, () => console.log('serving'));
`;
const ask = `"${process.execPath}" -e 'require("node:net").connect(process.env.SERVICE_MY_DB_PORT, process.env.SERVICE_MY_DB_HOST).pipe(process.stdout)'`;

function service(over: Partial<Service> = {}): Service {
  return {
    name: 'my-db',
    argv: [process.execPath, '-e', serve],
    env: { GREETING: 'it' },
    secrets: {},
    ready: { withinMs: 60_000 },
    ...over,
  };
}

interface Ran {
  readonly build: BuildId;
  readonly end: AttemptEnd;
  readonly log: string;
}

async function run(bench: Bench): Promise<Ran> {
  const build = await queueBuild(bench, 'served');
  const life = incarnate(bench);
  const work = await life.records.assign(build, machine);
  assert.ok(work);
  const end = await life.run(work);
  return { build, end, log: await logOf(bench, build) };
}

async function logOf({ dir, clock }: Bench, build: BuildId): Promise<string> {
  const reader = await createAttemptLogs(join(dir, 'logs'), { clock, onStored() {} }).reader(build, 1, async () => []);
  return Buffer.concat(await Array.fromAsync(reader.read({ from: 0 }))).toString();
}

async function serviceLog({ db, blobs }: Bench, build: BuildId): Promise<string | undefined> {
  const [file] = await db.read((sql) => artifactFiles(sql, { build, number: 1, name: 'service-my-db' }, { limit: 2 }));
  return file && Buffer.concat(await Array.fromAsync(blobs.read(file.sha256))).toString();
}

async function runsLeft({ buildlet }: Bench): Promise<string[]> {
  await using client = createBuildlet(buildlet.address, { clock: systemClock });
  return (await client.runs({})).map(({ id }) => id);
}

test('a service is ready before the first step, found by it, gone after the last, and its log is kept without secrets', async () => {
  const steps = [step('one', ask), step('two', ask)];
  await using bench = await openBench(steps, { services: [service({ secrets: { GREETING: 'word' } })], secrets: { word: 'open-sesame' } });
  const { build, end, log } = await run(bench);
  assert.deepEqual(end, { kind: 'passed' });
  const stars = '*'.repeat('open-sesame'.length);
  assert.equal(log, `hello from ${stars}`.repeat(2));
  assert.equal(await serviceLog(bench, build), 'serving\n');
  assert.deepEqual(await runsLeft(bench), []);
});

test('the command of a service says when it is ready', async () => {
  const ready = { argv: ['sh', '-c', 'test -e ready || { touch ready; exit 1; }'], withinMs: 60_000 };
  await using bench = await openBench([step('one', `test -e ready; ${ask}`)], { services: [service({ ready })] });
  const { end, log } = await run(bench);
  assert.deepEqual([end.kind, log], ['passed', 'hello from it']);
});

test('what was asked whether it is ready is not kept until the build ends', async () => {
  const ready = { argv: ['sh', '-c', 'test -e ready || { touch ready; exit 1; }'], withinMs: 60_000 };
  await using bench = await openBench([step('one', ask)], { services: [service({ ready })] });
  const build = await queueBuild(bench, 'asked');
  const { records, farm } = incarnate(bench);
  const work = await records.assign(build, machine);
  assert.ok(work);
  const told: string[] = [];
  const connect: typeof farm.connect = (id) => {
    const client = farm.connect(id);
    const startOrAttach: Buildlet['startOrAttach'] = (run, ...rest) => (told.push(`start ${run}`), client.startOrAttach(run, ...rest));
    const collect: Buildlet['collect'] = (run, ...rest) => (told.push(`collect ${run}`), client.collect(run, ...rest));
    return Object.assign(Object.create(client) as Buildlet, { startOrAttach, collect });
  };
  const { signal } = new AbortController();
  assert.deepEqual(await runBuild(work, { ...farm, connect }, { signal, cancelled: signal }), { kind: 'passed' });
  const first = told.map((one) => one.replace(`${build}.1.`, '')).slice(0, told.findIndex((one) => one.endsWith('.one')) + 1);
  const probe = (n: number): string[] => [`start READY-my-db-${n}`, `collect READY-my-db-${n}`];
  assert.deepEqual(first, ['start SERVICE-my-db', ...probe(0), ...probe(1), 'start one']);
});

test('a service that ends before it is ready, or never is, fails the build, and no step begins', async () => {
  const cases = [
    { over: { argv: ['sh', '-c', 'echo no database; exit 3'] }, text: /^it ended before it was ready: exit status 3$/ },
    { over: { argv: ['no-such-program'] }, text: /^it ended before it was ready: .*no-such-program/ },
    { over: { argv: ['sleep', '600'], ready: { withinMs: 300 } }, text: /^it was not ready within 0.3 s$/ },
  ];
  for (const { over, text } of cases) {
    await using bench = await openBench([step('never', 'echo never')], { services: [service(over)] });
    const { build, end, log } = await run(bench);
    assert.ok(end.kind === 'failed' && end.step === 'service my-db' && text.test(end.text), JSON.stringify(end));
    assert.equal(log, '');
    if (over.argv[0] === 'sh') assert.equal(await serviceLog(bench, build), 'no database\n');
    assert.deepEqual(await runsLeft(bench), []);
  }
});

test('an image on a machine without containers is nothing that could be run', async () => {
  await using bench = await openBench([step('never', 'echo never')], { services: [service({ argv: undefined, image: 'postgres:18' })] });
  const { end } = await run(bench);
  assert.ok(end.kind === 'skipped' && /runs no containers/.test(end.why), JSON.stringify(end));
});

test('a cancel while a service is not ready ends the build and the service', async () => {
  await using bench = await openBench([step('never', 'echo never')], { services: [service({ argv: ['sleep', '600'] })] });
  const build = await queueBuild(bench, 'cancelled');
  const life = incarnate(bench);
  const work = await life.records.assign(build, machine);
  assert.ok(work);
  const cancelled = new AbortController();
  const running = life.run(work, cancelled.signal);
  while ((await runsLeft(bench)).length === 0) await systemClock.sleep(10);
  await life.records.cancel(build, 'tester', 'enough');
  cancelled.abort(new Error('cancelled'));
  assert.deepEqual(await running, { kind: 'cancelled', by: 'tester', why: 'enough' });
  assert.deepEqual(await runsLeft(bench), []);
});

test('killed before or after any use of any port, the service is started once and its step finds it', async () => {
  await using bench = await openBench([step('one', ask)], {
    services: [service({ argv: ['sh', '-c', `echo begun; exec "${process.execPath}" -e "$0"`, serve] })],
  });
  for (const after of [false, true]) {
    for (let dieAt = 8; ; dieAt += 1) {
      const build = await queueBuild(bench, `${dieAt} ${after}`);
      const life = incarnate(bench, { dieAt, after });
      const work = await life.records.assign(build, machine);
      assert.ok(work);
      const ended = await Promise.race([life.run(work), life.died.then(() => 'died' as const)]);
      if (ended === 'died') {
        const next = incarnate(bench);
        const adopted = await next.records.takeOver(build);
        if (adopted) assert.deepEqual(await next.run(adopted), { kind: 'passed' });
      }
      assert.equal(await logOf(bench, build), 'hello from it', `${dieAt} ${after}`);
      assert.equal(await serviceLog(bench, build), 'begun\nserving\n');
      assert.equal((await bench.db.read((sql) => artifactsOf(sql, build))).length, 1);
      if (ended !== 'died') break;
    }
  }
});

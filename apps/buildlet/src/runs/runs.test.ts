/** Every answer of docs/protocols/runs.md, against a real process. */
import assert from 'node:assert/strict';
import { mkdir, rm, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { systemClock } from '@croft/runtime/clock';
import {
  ask,
  complete,
  endOf,
  outputMatching,
  readOutput,
  runId,
  shell,
  spec,
  startMachine,
  withCode,
  type TestMachine,
} from '../testing.ts';

let machine: TestMachine;
before(async () => void (machine = await startMachine()));
after(() => machine[Symbol.asyncDispose]());

const put = (id: string, body: unknown, headers: Record<string, string> = { 'Croft-Epoch': '1' }) =>
  ask(machine.process, { method: 'PUT', path: `/runs/${id}`, headers, body: typeof body === 'string' ? body : JSON.stringify(body) });

test('a start answers 201, its repeat 200 with the run as it is now, and another command under the id 409', async () => {
  const body = shell('echo once >> starts; echo hi; exit 3');
  const first = await put('repeat', body);
  assert.equal(first.status, 201);
  assert.equal(JSON.parse(first.body).state, 'running');
  await endOf(machine.client, 'repeat');
  const again = await put('repeat', body);
  assert.equal(again.status, 200);
  assert.deepEqual(JSON.parse(again.body).exit, { kind: 'exited', code: 3 });
  assert.equal((await put('repeat', { ...body, limitMs: 5 })).status, 409);
  const { output } = await complete(machine.client, 'count', shell('cat starts'));
  assert.equal(String(output), 'once\n');
});

test('twenty requests for one start at the same time start one command', async () => {
  const body = shell('echo x >> simultaneous');
  const statuses = (await Promise.all(Array.from({ length: 20 }, () => put('simultaneous', body)))).map((answer) => answer.status);
  assert.equal(statuses.filter((status) => status === 201).length, 1);
  assert.equal(statuses.filter((status) => status === 200).length, 19);
  await endOf(machine.client, 'simultaneous');
  assert.equal(String((await complete(machine.client, 'simultaneous-count', shell('cat simultaneous'))).output), 'x\n');
});

test('stdout and stderr come in exactly the order of the writes', async () => {
  const script = 'i=0; while [ $i -lt 300 ]; do echo o$i; echo e$i >&2; i=$((i+1)); done';
  const { output } = await complete(machine.client, 'order', shell(script));
  const expected = Array.from({ length: 300 }, (_, index) => `o${index}\ne${index}\n`).join('');
  assert.equal(String(output), expected);
});

test('a command may open /dev/stderr and /dev/stdout, which truncates nothing', async () => {
  const { output } = await complete(
    machine.client,
    'dev',
    shell('echo one; echo two > /dev/stderr; echo three > /dev/stdout; echo four >&2'),
  );
  assert.equal(String(output), 'one\ntwo\nthree\nfour\n');
});

test('standard input is empty and output may be any bytes', async () => {
  const { output } = await complete(machine.client, 'bytes', shell(String.raw`cat; printf '\377\376\000\200 \303\050'`));
  assert.deepEqual(output, Buffer.from([0xff, 0xfe, 0, 0x80, 0x20, 0xc3, 0x28]));
});

test('each way to end is told apart', async (context) => {
  await writeFile(join(machine.process.workDir, 'plain.txt'), 'text', { mode: 0o644 });
  await writeFile(join(machine.process.workDir, 'lost-interpreter'), '#!/no/such/interpreter\n', { mode: 0o755 });
  const exitOf = async (id: string, what: ReturnType<typeof spec>) => (await complete(machine.client, id, what)).run.exit;
  await context.test('exit codes, also 126 and 127', async () => {
    assert.deepEqual(await exitOf('exit0', shell('exit 0')), { kind: 'exited', code: 0 });
    assert.deepEqual(await exitOf('exit126', shell('exit 126')), { kind: 'exited', code: 126 });
    assert.deepEqual(await exitOf('exit127', shell('nosuchcommand')), { kind: 'exited', code: 127 });
  });
  await context.test('a signal of its own', async () => {
    assert.deepEqual(await exitOf('segv', shell('kill -SEGV $$')), { kind: 'signalled', signal: 'SIGSEGV' });
    assert.deepEqual(await exitOf('kill', shell('kill -KILL $$')), { kind: 'signalled', signal: 'SIGKILL' });
  });
  await context.test('not started, with the reason', async () => {
    const reasonOf = async (id: string, what: ReturnType<typeof spec>): Promise<string> => {
      const exit = await exitOf(id, what);
      return exit.kind === 'not-started' ? exit.reason : assert.fail(JSON.stringify(exit));
    };
    assert.match(await reasonOf('missing', spec(['no-such-program'])), /no program "no-such-program" in PATH \(\//);
    assert.match(await reasonOf('missing-path', spec(['./no/such'])), /no such program ".\/no\/such"/);
    assert.match(await reasonOf('not-executable', spec(['./plain.txt'])), /"\.\/plain\.txt" is not executable/);
    assert.match(await reasonOf('interpreter', spec(['./lost-interpreter'])), /interpreter that ".\/lost-interpreter" names/);
    assert.match(await reasonOf('bad-dir', spec(['true'], { dir: 'not/here' })), /no such directory "not\/here"/);
    assert.match(await reasonOf('file-dir', spec(['true'], { dir: 'plain.txt' })), /"plain.txt" is not a directory/);
    assert.match(
      await reasonOf('too-long', spec(['true', ...Array.from({ length: 30 }, () => 'x'.repeat(130_000))])),
      /longer than this system allows/,
    );
  });
  await context.test('the time limit', async () => {
    const exit = await exitOf('slow', shell('sleep 60', { limitMs: 100 }));
    assert.deepEqual(exit, { kind: 'over-limit', limit: 'time', reason: 'it ran longer than 100 ms' });
  });
  await context.test('the output limit, with exactly the allowed bytes kept', async () => {
    const { run, output } = await complete(machine.client, 'loud', spec(['yes', 'loud'], { outputLimitBytes: 1_000_003 }));
    assert.deepEqual(run.exit, { kind: 'over-limit', limit: 'output', reason: 'it wrote more than 1000003 bytes' });
    assert.equal(output.length, 1_000_003);
    assert.deepEqual(await exitOf('exact', shell('printf 12345', { outputLimitBytes: 5 })), { kind: 'exited', code: 0 });
  });
  await context.test('cancel, which changes nothing about a run that has ended', async () => {
    await machine.client.startOrAttach(runId('unwanted'), shell('echo started; sleep 60'), 1, {});
    await outputMatching(machine.client, 'unwanted', /started/);
    const cancelled = await machine.client.cancel(runId('unwanted'), 'a newer commit came', 1, {});
    assert.ok(cancelled.state === 'ended');
    assert.deepEqual(cancelled.exit, { kind: 'killed', reason: 'a newer commit came' });
    const late = await machine.client.cancel(runId('exit0'), 'too late', 1, {});
    assert.deepEqual(late.state === 'ended' && late.exit, { kind: 'exited', code: 0 });
  });
});

test('a signal reaches the whole process group, and an ended run answers 409', async () => {
  const child = '(trap "echo child; exit" TERM; echo ready; while :; do sleep 0.02; done) 2>/dev/null';
  const script = `trap "wait; echo parent; exit 7" TERM; ${child} & wait`;
  await machine.client.startOrAttach(runId('signals'), shell(script), 1, {});
  await outputMatching(machine.client, 'signals', /ready/);
  await machine.client.signal(runId('signals'), 'SIGTERM', 1, {});
  assert.deepEqual((await endOf(machine.client, 'signals')).exit, { kind: 'exited', code: 7 });
  assert.equal(String(await readOutput(machine.client, 'signals')), 'ready\nchild\nparent\n');
  await assert.rejects(machine.client.signal(runId('signals'), 'SIGTERM', 1, {}), withCode('conflict'));
  const odd = await ask(machine.process, { method: 'POST', path: '/runs/signals/signal?name=SIGWRONG', headers: { 'Croft-Epoch': '1' } });
  assert.equal(odd.status, 400);
});

test('a collected run answers 410 while the epoch lasts, and collecting is idempotent', async () => {
  const body = spec(['true']);
  assert.equal(await machine.client.run(runId('gone'), {}), 'unknown');
  await complete(machine.client, 'gone', body);
  await machine.client.collect(runId('gone'), 1, {});
  await machine.client.collect(runId('gone'), 1, {});
  assert.equal(await machine.client.run(runId('gone'), {}), 'collected');
  assert.equal((await put('gone', body)).status, 410);
  assert.equal((await ask(machine.process, { path: '/runs/gone/output' })).status, 410);
  assert.ok(!(await machine.client.runs({})).some((run) => run.id === 'gone'));
  await machine.client.collect(runId('never-was'), 1, {});
  assert.equal(await machine.client.run(runId('never-was'), {}), 'unknown');
});

test('a run that has not ended is not collected', async () => {
  await machine.client.startOrAttach(runId('busy'), shell('sleep 60'), 1, {});
  await assert.rejects(machine.client.collect(runId('busy'), 1, {}), withCode('conflict'));
  await machine.client.cancel(runId('busy'), 'enough', 1, {});
});

test('output is served from any offset, 416 above its length, 410 below what was acknowledged and dropped', async () => {
  const { run } = await complete(machine.client, 'offsets', shell('head -c 20000000 /dev/zero; printf end'));
  assert.deepEqual(run.output, { length: 20_000_003, from: 0 });
  assert.equal(String(await readOutput(machine.client, 'offsets', 20_000_000)), 'end');
  assert.equal((await ask(machine.process, { path: '/runs/offsets/output?from=20000003' })).body, '');
  assert.equal((await ask(machine.process, { path: '/runs/offsets/output?from=20000004' })).status, 416);
  assert.equal((await ask(machine.process, { path: '/runs/offsets/output?from=minus' })).status, 400);
  await machine.client.ack(runId('offsets'), 17_000_000, 1, {});
  await machine.client.ack(runId('offsets'), 5, 1, {});
  const now = await endOf(machine.client, 'offsets');
  assert.deepEqual(now.output, { length: 20_000_003, from: 16 * 1024 * 1024 });
  assert.equal((await ask(machine.process, { path: '/runs/offsets/output?from=0' })).status, 410);
  await assert.rejects(readOutput(machine.client, 'offsets', 3), withCode('not-found'));
  assert.equal((await readOutput(machine.client, 'offsets', 17_000_000)).length, 3_000_003);
  await assert.rejects(machine.client.ack(runId('offsets'), 20_000_004, 1, {}), withCode('invalid'));
});

test('output can be followed while it is written, and waiting for the end is held', async () => {
  await machine.client.startOrAttach(runId('live'), shell('echo first; while [ ! -e go ]; do sleep 0.02; done; echo last'), 1, {});
  const whole = readOutput(machine.client, 'live');
  await outputMatching(machine.client, 'live', /first/);
  const short = await machine.client.run(runId('live'), { waitMs: 50 });
  assert.ok(typeof short === 'object' && short.state === 'running');
  const ended = endOf(machine.client, 'live');
  await writeFile(join(machine.process.workDir, 'go'), '');
  assert.deepEqual((await ended).exit, { kind: 'exited', code: 0 });
  assert.equal(String(await whole), 'first\nlast\n');
});

test('the environment is the allowed part of the buildlet’s own, what the farm sets, and what was asked for', async () => {
  await using other = await startMachine({
    env: {
      CROFT_SECRET: 's',
      META_other: 's',
      npm_config_x: 's',
      NODE_OPTIONS: '',
      AWS_KEY: 's',
      LC_TIME: 'C',
      PATH: `/odd/node_modules/.bin:${process.env['PATH'] ?? ''}`,
    },
  });
  const { output } = await complete(other.client, 'env', spec(['env'], { env: { CI: 'true', TZ: 'Asia/Tokyo' } }));
  const env = new Map(
    String(output)
      .trim()
      .split('\n')
      .map((line) => [line.slice(0, line.indexOf('=')), line.slice(line.indexOf('=') + 1)]),
  );
  for (const name of env.keys()) assert.doesNotMatch(name, /^(CROFT_SECRET|META_|npm_|NODE_|AWS_)/);
  assert.equal(env.get('CI'), 'true');
  assert.equal(env.get('TZ'), 'Asia/Tokyo');
  assert.equal(env.get('LC_TIME'), 'C');
  assert.equal(env.get('WORKDIR'), other.process.workDir);
  assert.equal(env.get('PWD'), other.process.workDir);
  assert.equal(env.get('TMPDIR'), join(other.process.workDir, 'tmp'));
  assert.match(env.get('CROFT_COOKIE') ?? '', /^[0-9a-f]{32}:env$/);
  assert.doesNotMatch(env.get('PATH') ?? '', /node_modules\/\.bin/);
});

test('a request that is wrong is told so and starts nothing', async () => {
  const good = spec(['touch', 'started-by-mistake']);
  assert.equal((await put('wrong', good, {})).status, 400);
  assert.equal((await put('wrong', good, { 'Croft-Epoch': 'x' })).status, 400);
  assert.equal((await put('wrong', '{"argv":')).status, 400);
  assert.equal((await put('wrong', 'x'.repeat(5_000_000))).status, 413);
  assert.equal((await put('wrong', { ...good, surprise: 1 })).status, 400);
  assert.equal((await put('wrong', { ...good, argv: [] })).status, 400);
  assert.equal((await put('wrong', { ...good, argv: ['a\0b'] })).status, 400);
  assert.equal((await put('wrong', { ...good, env: { CROFT_COOKIE: 'forged' } })).status, 400);
  assert.equal((await put('wrong', { ...good, env: { META_password: 'x' } })).status, 400);
  assert.equal((await put('wrong', { ...good, env: { NUL: 'a\0b' } })).status, 400);
  assert.equal((await put('wrong', { ...good, env: { 'BAD-NAME': 'x' } })).status, 400);
  assert.equal((await put('.hidden', good)).status, 400);
  assert.equal((await put('%2e%2e', good)).status, 400);
  assert.equal((await ask(machine.process, { method: 'POST', path: '/runs/wrong', headers: { 'Croft-Epoch': '1' } })).status, 400);
  assert.equal((await ask(machine.process, { path: '/runs/wrong/nothing' })).status, 404);
  assert.equal(await machine.client.run(runId('wrong'), {}), 'unknown');
});

test('a directory may not leave the work directory, neither by name nor through a link', async () => {
  const { workDir } = machine.process;
  await symlink('/', join(workDir, 'way-out'));
  await mkdir(join(workDir, 'inner'));
  await symlink('inner', join(workDir, 'way-in'));
  for (const dir of ['..', '../x', '/etc', 'inner/../../x', 'way-out', 'way-out/etc', 'way-out/not/there']) {
    assert.equal((await put('leaving', spec(['true'], { dir }))).status, 400, dir);
  }
  const { output } = await complete(machine.client, 'inside', spec(['pwd'], { dir: 'way-in/../way-in' }));
  assert.equal(String(output), `${join(workDir, 'inner')}\n`);
  await rm(join(workDir, 'way-out'));
});

test('a disk below the low-water mark refuses new runs with 507 and says so in the status', async () => {
  await using low = await startMachine({ lowWaterBytes: 2 ** 52 });
  const answer = await ask(low.process, {
    method: 'PUT',
    path: '/runs/a',
    headers: { 'Croft-Epoch': '1' },
    body: JSON.stringify(spec(['true'])),
  });
  assert.equal(answer.status, 507);
  assert.equal(JSON.parse(answer.body).code, 'exhausted');
  await assert.rejects(low.client.startOrAttach(runId('a'), spec(['true']), 1, {}), withCode('exhausted'));
  assert.equal((await low.client.status({})).Croft?.lowDisk, true);
});

test('a run with more unacknowledged output than the spool limit waits in its write until there is room', async () => {
  await using small = await startMachine({ spoolLimitBytes: 3_000_000 });
  await small.client.startOrAttach(runId('big'), shell('head -c 40000000 /dev/zero; echo done'), 1, {});
  const read = { bytes: 0, tail: '' };
  const follow = async (): Promise<void> => {
    for await (const piece of small.client.output(runId('big'), 0, { signal: systemClock.deadline(60_000) })) {
      read.bytes += piece.length;
      read.tail = piece.subarray(-5).toString();
      const run = await small.client.run(runId('big'), {});
      assert.ok(typeof run === 'object' && run.output.length - read.bytes < 3_000_000 + 2 * 1024 * 1024, 'the spool is bounded');
      await small.client.ack(runId('big'), read.bytes, 1, {});
    }
  };
  await follow();
  assert.deepEqual(read, { bytes: 40_000_005, tail: 'done\n' });
});

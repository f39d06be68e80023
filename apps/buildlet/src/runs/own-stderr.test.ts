/** Standard error with an output of its own, and where a command runs: whichever way commands are started. docs/protocols/runs.md */
import assert from 'node:assert/strict';
import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { systemClock } from '@croft/runtime/clock';
import {
  ask,
  complete,
  endOf,
  isAlive,
  outputMatching,
  readOutput,
  runId,
  shell,
  spec,
  startMachine,
  withCode,
  type TestMachine,
} from '../testing.ts';

const waits = { signal: systemClock.deadline(100_000) };

async function errorsOf({ client }: TestMachine, id: string, from = 0): Promise<string> {
  return (await Array.fromAsync(client.output(runId(id), from, { ...waits, stream: 'stderr' }), String)).join('');
}

for (const way of ['auto', 'fifo']) {
  describe(`standard error of its own, started by ${way}`, () => {
    let machine: TestMachine;
    before(async () => void (machine = await startMachine({ flags: [`--start=${way}`], spoolLimitBytes: 1_000_000 })));
    after(() => machine[Symbol.asyncDispose]());

    test('both outputs come whole, each with offsets of its own', async () => {
      const { client } = machine;
      const what = shell('printf out; printf err1 >&2; printf OUT; printf err2 > /dev/stderr; cat', { stderr: 'own', input: true });
      await client.startOrAttach(runId('both'), what, 1, {});
      await client.writeStdin(runId('both'), { from: 0, content: Buffer.from('!'), end: true }, 1, {});
      const run = await endOf(client, 'both');
      assert.deepEqual(
        [run.output, run.stderr],
        [
          { length: 7, from: 0 },
          { length: 8, from: 0 },
        ],
      );
      assert.equal((await readOutput(client, 'both')).toString(), 'outOUT!');
      assert.equal(await errorsOf(machine, 'both'), 'err1err2');
      assert.equal(await errorsOf(machine, 'both', 4), 'err2');
    });

    test('each is acknowledged by itself, and makes its command wait by itself', async () => {
      const { client } = machine;
      const what = shell('head -c 3000000 /dev/zero >&2; echo done', { stderr: 'own' });
      await client.startOrAttach(runId('waits'), what, 1, {});
      let bytes = 0;
      for await (const piece of client.output(runId('waits'), 0, { ...waits, stream: 'stderr' })) {
        if (bytes === 0) assert.equal(((await machine.client.run(runId('waits'), {})) as { state: string }).state, 'running');
        bytes += piece.length;
        await client.ack(runId('waits'), bytes, 1, { stream: 'stderr' });
      }
      assert.equal(bytes, 3_000_000);
      const run = await endOf(client, 'waits');
      assert.deepEqual(run.output, { length: 5, from: 0 });
      await assert.rejects(client.ack(runId('waits'), 3_000_001, 1, { stream: 'stderr' }), withCode('invalid'));
    });

    test('what both write counts together against the limit', async () => {
      const what = shell('head -c 600 /dev/zero; head -c 600 /dev/zero >&2; sleep 1000', { stderr: 'own', outputLimitBytes: 1_000 });
      const { run } = await complete(machine.client, 'limit', what);
      assert.ok(run.exit.kind === 'over-limit' && run.exit.limit === 'output');
      assert.equal(run.output.length + (run.stderr?.length ?? 0), 1_000);
    });

    test('a child that holds standard error open does not hold up the end', async () => {
      const { run, output } = await complete(machine.client, 'held', shell('sleep 1000 >/dev/null & echo $!', { stderr: 'own' }));
      assert.deepEqual(run.exit, { kind: 'exited', code: 0 });
      assert.ok(!isAlive(Number(output.toString())));
    });
  });
}

test('what was written to standard error outlives the buildlet', async () => {
  await using machine = await startMachine();
  await machine.client.startOrAttach(runId('kept'), shell('echo out; echo err >&2; sleep 1000', { stderr: 'own' }), 1, {});
  await outputMatching(machine.client, 'kept', /out/);
  for await (const piece of machine.client.output(runId('kept'), 0, { ...waits, stream: 'stderr' })) {
    if (piece.toString() === 'err\n') break;
  }
  await machine.process.kill9();
  await machine.process.restart();
  assert.equal((await endOf(machine.client, 'kept')).exit.kind, 'lost');
  assert.equal(await errorsOf(machine, 'kept'), 'err\n');
  await machine.client.collect(runId('kept'), 1, {});
});

test('a run without it has no such output, and a terminal cannot have it', async () => {
  await using machine = await startMachine();
  await complete(machine.client, 'one', shell('echo out; echo err >&2'));
  await assert.rejects(errorsOf(machine, 'one'), withCode('invalid'));
  assert.equal((await ask(machine.process, { path: '/runs/one/output?from=0&stream=stdin' })).status, 400);
  const terminal = { cols: 80, rows: 24, term: 'xterm' };
  await assert.rejects(
    machine.client.startOrAttach(runId('t'), spec(['true'], { stderr: 'own', pty: terminal }), 1, {}),
    withCode('invalid'),
  );
});

test('a command runs in its other directory where the first is not there', async () => {
  await using machine = await startMachine();
  const { client, process } = machine;
  await mkdir(join(process.workDir, 'src', 'deep'), { recursive: true });
  const where = async (id: string, dir: string, elseDir: string): Promise<string> =>
    (await complete(client, id, spec(['sh', '-c', 'pwd; echo $PWD'], { dir, elseDir }))).output.toString();
  const both = (...names: string[]): string => `${join(process.workDir, ...names)}\n`.repeat(2);
  assert.equal(await where('there', 'src/deep', '.'), both('src', 'deep'));
  assert.equal(await where('gone', 'src/none', 'src'), both('src'));
  assert.equal(await where('whole', 'none', '.'), both());
  const neither = await complete(client, 'neither', spec(['pwd'], { dir: 'none', elseDir: 'nor/this' }));
  assert.deepEqual(neither.run.exit, { kind: 'not-started', reason: 'no such directory "nor/this"' });
  for (const out of [
    { dir: '..', elseDir: '.' },
    { dir: 'none', elseDir: '../out' },
  ])
    await assert.rejects(client.startOrAttach(runId('out'), spec(['pwd'], out), 1, {}), withCode('invalid'));
});

test('directories are put behind those of the PATH that there is', async () => {
  await using machine = await startMachine({ env: { PATH: '/usr/bin:/bin' } });
  const pathOf = async (id: string, rest: object): Promise<string> =>
    (await complete(machine.client, id, shell('echo "$PATH"', rest))).output.toString().trim();
  assert.equal(await pathOf('own', { path: ['/a b', '/c'] }), '/usr/bin:/bin:/a b:/c');
  assert.equal(await pathOf('asked', { path: ['/c'], env: { PATH: '/bin:/x' } }), '/bin:/x:/c');
  for (const path of [['relative'], ['/a:/b'], ['']])
    await assert.rejects(machine.client.startOrAttach(runId('bad'), shell('true', { path }), 1, {}), withCode('invalid'));
});

/** What is left after kill -9 of a buildlet, and what the next one over the same directory makes of it. */
import assert from 'node:assert/strict';
import { readFile, readdir, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { startTestBuildlet } from '@croft/buildlet/testing';
import { complete, endOf, isAlive, outputMatching, readOutput, runId, shell, spec, startMachine, until, withCode } from '../testing.ts';

test('a run whose buildlet was killed is lost with evidence, its tree is dead and its output is served', async () => {
  await using machine = await startMachine();
  const { client, process: buildlet } = machine;
  await client.startOrAttach(
    runId('a'),
    shell('echo pid $$; (setsid sleep 1000 & echo pid $!); i=0; while :; do echo line $i; i=$((i+1)); done'),
    3,
    {},
  );
  await outputMatching(client, 'a', /pid \d+\n(.*\n)*pid \d+\n(.*\n)*line 2000\n/);
  const before = await client.run(runId('a'), {});
  await buildlet.kill9();
  await buildlet.restart();

  const run = await endOf(client, 'a');
  assert.ok(run.exit.kind === 'lost');
  assert.match(
    run.exit.reason,
    /^its buildlet died while it ran; it ran as process \d+; \d+ bytes of output were kept; \d+ process\(es\) of it were still running and were killed$/,
  );
  assert.ok(typeof before === 'object' && run.output.length >= before.output.length);
  const output = String(await readOutput(client, 'a'));
  assert.equal(output.length, run.output.length);
  assert.ok(run.exit.reason.includes(`${output.length} bytes`));
  for (const [, pid] of output.matchAll(/pid (\d+)/g)) assert.ok(!isAlive(Number(pid)));
  const lines = output.split('\n').filter((line) => line.startsWith('line'));
  for (const [index, line] of lines.slice(0, -1).entries()) assert.equal(line, `line ${index}`);
  assert.equal((await client.status({})).Croft?.epoch, 3);
});

test('runs that had ended, and ids that were collected, are the same after a kill', async () => {
  await using machine = await startMachine();
  const { client, process: buildlet } = machine;
  const first = await complete(client, 'first', shell('echo out; exit 9'));
  await complete(client, 'second', spec(['no-such-program']));
  await complete(client, 'third', spec(['true']));
  await client.collect(runId('third'), 1, {});
  await buildlet.kill9();
  await buildlet.restart();
  assert.deepEqual(
    (await client.runs({})).map((run) => run.id),
    ['first', 'second'],
  );
  assert.deepEqual(await endOf(client, 'first'), first.run);
  assert.equal(String(await readOutput(client, 'first')), 'out\n');
  assert.deepEqual(await client.startOrAttach(runId('first'), shell('echo out; exit 9'), 1, {}), first.run);
  await assert.rejects(client.startOrAttach(runId('first'), shell('echo other'), 1, {}), withCode('conflict'));
  assert.equal(await client.run(runId('third'), {}), 'collected');
  await assert.rejects(client.startOrAttach(runId('third'), spec(['true']), 1, {}), withCode('not-found'));
});

test('a kill at any moment of a start leaves either nothing or a run that ends', async () => {
  await using machine = await startMachine();
  const { client, process: buildlet } = machine;
  for (let round = 0; round < 6; round += 1) {
    const starts = Array.from({ length: 5 }, (_, index) =>
      client.startOrAttach(runId(`r${round}.${index}`), shell(`echo ${index} >> counted.${round}`), 1, {}).catch(() => undefined),
    );
    if (round > 0) await Promise.race(starts);
    await buildlet.kill9();
    await Promise.all(starts);
    await buildlet.restart();
    for (const run of await client.runs({})) {
      assert.equal(run.state, 'ended', JSON.stringify(run));
      await client.collect(runId(run.id), 1, {});
    }
    const counted = await readFile(join(buildlet.workDir, `counted.${round}`), 'utf8').catch(() => '');
    const lines = counted.split('\n').filter(Boolean);
    assert.equal(new Set(lines).size, lines.length, 'no command ran twice');
  }
});

test('an id is forgotten with its epoch, so that the state stays small however many there were', async () => {
  await using machine = await startMachine();
  const { client, process: buildlet } = machine;
  const state = join(buildlet.dir, 'state');
  const sizes = new Set<number>();
  for (let epoch = 11; epoch < 31; epoch += 1) {
    const id = runId(`a.${epoch}`);
    await client.startOrAttach(id, spec(['true']), epoch, {});
    await endOf(client, id);
    await client.collect(id, epoch, {});
    assert.equal(await client.run(id, {}), 'collected');
    sizes.add((await stat(join(state, 'collected-ids'))).size);
  }
  assert.equal(sizes.size, 1, 'it does not grow');
  assert.equal(await client.run(runId('a.29'), {}), 'unknown');
  await assert.rejects(client.startOrAttach(runId('a.29'), spec(['true']), 29, {}), withCode('stale'));
  await buildlet.kill9();
  await buildlet.restart();
  await assert.rejects(client.startOrAttach(runId('a.29'), spec(['true']), 29, {}), withCode('stale'));
  await assert.rejects(client.startOrAttach(runId('a.30'), spec(['true']), 30, {}), withCode('not-found'));
  assert.deepEqual(await readdir(join(state, 'runs')), []);
});

test('directories that a killed start or collection left half-done are cleared away', async () => {
  await using machine = await startMachine();
  const { client, process: buildlet } = machine;
  await complete(client, 'done', spec(['true']));
  await buildlet.kill9();
  const state = join(buildlet.dir, 'state');
  await writeFile(join(state, 'collected-ids'), '\n1 before .\n\n1 torn\n1 done .\n\n1 do');
  const { mkdir } = await import('node:fs/promises');
  await mkdir(join(state, 'runs', 'torn'));
  await writeFile(join(state, 'runs', 'torn', 'record'), '\n{"intent":{"spec":{"argv":["tr');
  await buildlet.restart();
  assert.equal(await client.run(runId('done'), {}), 'collected');
  assert.equal(await client.run(runId('torn'), {}), 'unknown');
  assert.deepEqual(await readdir(join(state, 'runs')), []);
  assert.equal((await complete(client, 'torn', spec(['true']))).run.exit.kind, 'exited');
});

test('only one buildlet serves a directory, and kill -9 of it makes room at once', async () => {
  await using machine = await startMachine();
  await assert.rejects(startTestBuildlet({ dir: machine.process.dir, listen: '127.0.0.1:0' }), /Another buildlet serves this directory/);
  await machine.process.kill9();
  await machine.process.restart();
  assert.equal((await machine.client.status({})).Version, 27);
});

test('a buildlet that hears no coordinator ends its commands and itself, and keeps what they wrote', async () => {
  await using machine = await startMachine({ orphanedAfterMs: 700 });
  const { client, process: buildlet } = machine;
  await client.startOrAttach(runId('a'), shell('echo pid $$; sleep 1000'), 1, {});
  const [, pid] = await outputMatching(client, 'a', /pid (\d+)/);
  assert.equal(await buildlet.ended(), 0);
  assert.ok(!isAlive(Number(pid)));
  await buildlet.restart();
  const run = await endOf(client, 'a');
  assert.deepEqual(run.exit, { kind: 'lost', reason: 'its buildlet heard no coordinator for 700 ms' });
  assert.equal(String(await readOutput(client, 'a')), `pid ${pid}\n`);
});

test('halting ends the runs, answers, and ends the buildlet within a second', async () => {
  await using machine = await startMachine();
  const { client, process: buildlet } = machine;
  await client.startOrAttach(runId('a'), shell('sleep 1000'), 1, {});
  await client.halt(1, {});
  const run = await endOf(client, 'a');
  assert.deepEqual(run.exit, { kind: 'lost', reason: 'its buildlet was halted' });
  await assert.rejects(client.startOrAttach(runId('b'), spec(['true']), 1, {}), withCode('unavailable'));
  assert.equal(await buildlet.ended(), 0);
  await until('the log tells it', async () => (await buildlet.log()).includes('run ended'));
  await assert.rejects(client.status({}), withCode('unavailable'));
});

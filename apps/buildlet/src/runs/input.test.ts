/** What a run reads, through a pipe and from a terminal. docs/protocols/runs.md#input and #terminals */
import assert from 'node:assert/strict';
import { mkdtemp, rm } from 'node:fs/promises';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import fc from 'fast-check';
import { createTerminals } from '../commands/terminals.ts';
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

const noTerminals = createTerminals(undefined).available() ? false : 'the package @lydell/node-pty has nothing for this system';
const terminal = { cols: 80, rows: 24, term: 'xterm' };

const write = ({ client }: TestMachine, id: string, from: number, text: string): Promise<number> =>
  client.writeStdin(runId(id), { from, content: Buffer.from(text) }, 1, {});

const writeLast = ({ client }: TestMachine, id: string, from: number, text: string): Promise<number> =>
  client.writeStdin(runId(id), { from, content: Buffer.from(text), end: true }, 1, {});

test('input is taken once, whatever is repeated, and ends when it is said to', async () => {
  await using machine = await startMachine();
  await machine.client.startOrAttach(runId('cat'), spec(['cat'], { input: true }), 1, {});
  assert.equal(await write(machine, 'cat', 0, 'hello '), 6);
  assert.equal(await write(machine, 'cat', 0, 'hello '), 6);
  assert.equal(await write(machine, 'cat', 3, 'lo world'), 11);
  assert.equal(await write(machine, 'cat', 0, ''), 11);
  await assert.rejects(write(machine, 'cat', 12, 'beyond'), withCode('invalid'));
  assert.equal(await writeLast(machine, 'cat', 11, '!'), 12);
  assert.deepEqual((await endOf(machine.client, 'cat')).exit, { kind: 'exited', code: 0 });
  assert.equal((await readOutput(machine.client, 'cat')).toString(), 'hello world!');
  await assert.rejects(write(machine, 'cat', 12, 'more'), withCode('conflict'));
});

test('any cuts and repeats give the command the same bytes', async () => {
  await using machine = await startMachine();
  const text = Array.from({ length: 300 }, (_, index) => `line ${index}\n`).join('');
  let runs = 0;
  const cuts = fc.array(fc.tuple(fc.nat(text.length), fc.nat(text.length)), { maxLength: 12 });
  await fc.assert(
    fc.asyncProperty(cuts, async (pieces) => {
      const id = `cut-${(runs += 1)}`;
      await machine.client.startOrAttach(runId(id), spec(['cat'], { input: true }), 1, {});
      let taken = 0;
      for (const [from, to] of pieces) taken = await write(machine, id, Math.min(from, taken), text.slice(Math.min(from, taken), to));
      await writeLast(machine, id, taken, text.slice(taken));
      await endOf(machine.client, id);
      assert.equal((await readOutput(machine.client, id)).toString(), text);
    }),
    { numRuns: 10 },
  );
});

test('a run that was given no input reads the null device, and its input is refused', async () => {
  await using machine = await startMachine();
  const { run } = await complete(machine.client, 'none', spec(['cat']));
  assert.deepEqual(run.exit, { kind: 'exited', code: 0 });
  await machine.client.startOrAttach(runId('deaf'), spec(['sleep', '1000']), 1, {});
  await assert.rejects(write(machine, 'deaf', 0, 'x'), withCode('conflict'));
  await assert.rejects(machine.client.resize(runId('deaf'), { cols: 80, rows: 24 }, 1, {}), withCode('conflict'));
  assert.equal((await ask(machine.process, { method: 'PUT', path: '/runs/deaf/stdin?from=0' })).status, 400); // no epoch
});

test('a request waits for a command that does not read, and a newer one takes over where it stopped', { timeout: 60_000 }, async () => {
  await using machine = await startMachine();
  const script = 'read -r line; echo "first $line"; sleep 0.3; cat | wc -c';
  await machine.client.startOrAttach(runId('slow'), shell(script, { input: true }), 1, {});
  const { address } = machine.process;
  const socket = connect({ path: (address as { socketPath: string }).socketPath });
  const auth = Buffer.from(`:${address.password}`).toString('base64');
  socket.write(`PUT /runs/slow/stdin?from=0 HTTP/1.1\r\nHost: localhost\r\nAuthorization: Basic ${auth}\r\nCroft-Epoch: 1\r\n`);
  socket.write('Content-Length: 100000000\r\n\r\ngo\n'); // and nothing more, for ever
  await outputMatching(machine.client, 'slow', /first go/);
  const rest = 'x'.repeat(1_000_000);
  assert.equal(await writeLast(machine, 'slow', 0, `go\n${rest}`), 3 + rest.length);
  await endOf(machine.client, 'slow');
  assert.match((await readOutput(machine.client, 'slow')).toString(), /^first go\n\s*1000000\n$/);
  socket.destroy();
});

test('a command that closes its input takes no more', async () => {
  await using machine = await startMachine();
  await machine.client.startOrAttach(runId('closed'), shell('exec <&-; echo closed; sleep 1000', { input: true }), 1, {});
  await outputMatching(machine.client, 'closed', /closed/);
  await assert.rejects(write(machine, 'closed', 0, 'x'.repeat(200_000)), withCode('conflict'));
});

test('a terminal echoes, edits, has a size, and everything it showed is kept', { skip: noTerminals }, async () => {
  await using machine = await startMachine();
  const script = 'tty; stty size; echo "$TERM"; read -r line; echo "got $line"; stty size; read -r line; exit 3';
  const asked = spec(['bash', '-c', script], { pty: terminal });
  await machine.client.startOrAttach(runId('pty'), asked, 1, {});
  await outputMatching(machine.client, 'pty', /\/dev\/pts\/\d+\r\n24 80\r\nxterm\r\n/);
  await machine.client.resize(runId('pty'), { cols: 100, rows: 30 }, 1, {});
  await write(machine, 'pty', 0, 'heX\u007fllo\n');
  await outputMatching(machine.client, 'pty', /got hello\r\n30 100\r\n/);
  await writeLast(machine, 'pty', 8, '');
  assert.deepEqual((await endOf(machine.client, 'pty')).exit, { kind: 'exited', code: 3 });
});

test('nothing that a terminal shows is lost at the end', { skip: noTerminals }, async () => {
  await using machine = await startMachine();
  const { output } = await complete(machine.client, 'long', spec(['seq', '200000'], { pty: terminal }));
  const expected = Array.from({ length: 200_000 }, (_, index) => `${index + 1}\r\n`).join('');
  assert.ok(output.toString() === expected, `${output.length} bytes of ${expected.length}`);
});

test(
  'a signal goes to what is in the foreground of the terminal, and Ctrl-C does, too',
  { skip: noTerminals, timeout: 60_000 },
  async () => {
    await using machine = await startMachine();
    const job = (name: string): string => `sh -c 'echo ${name} up; exec sleep 1000'; echo "${name} $?"`;
    await machine.client.startOrAttach(
      runId('fore'),
      spec(['bash', '-c', `set -m; ${job('first')}; ${job('second')}`], { pty: terminal }),
      1,
      {},
    );
    await outputMatching(machine.client, 'fore', /first up/);
    await machine.client.signal(runId('fore'), 'SIGTERM', 1, {});
    await outputMatching(machine.client, 'fore', /first 143[^]*second up/);
    await write(machine, 'fore', 0, '\u0003');
    assert.deepEqual((await endOf(machine.client, 'fore')).exit, { kind: 'exited', code: 130 }); // bash goes, too
  },
);

test('a terminal and what runs on it dies with its run', { skip: noTerminals }, async () => {
  await using machine = await startMachine();
  await machine.client.startOrAttach(runId('gone'), spec(['sh', '-c', 'echo up; sleep 1000'], { pty: terminal }), 1, {});
  await outputMatching(machine.client, 'gone', /up/);
  const run = await machine.client.cancel(runId('gone'), 'enough', 1, {});
  assert.deepEqual(run.state === 'ended' && run.exit, { kind: 'killed', reason: 'enough' });
  const none = await complete(machine.client, 'none', spec(['no-such-program'], { pty: terminal }));
  assert.equal(none.run.exit.kind, 'not-started');
});

test('without the module a run with a terminal is refused and all others go on', async () => {
  const dir = await mkdtemp(join(tmpdir(), 'croft-pty-'));
  assert.equal(createTerminals(join(dir, 'pty.node')).available(), false);
  await rm(dir, { recursive: true });
  await using machine = await startMachine({ flags: ['-pty-module=/nowhere/pty.node'] });
  const body = JSON.stringify(spec(['true'], { pty: terminal }));
  const refused = await ask(machine.process, { method: 'PUT', path: '/runs/p', headers: { 'Croft-Epoch': '1' }, body });
  assert.equal(refused.status, 501);
  assert.match(refused.body, /"hint":".*pty-module/);
  assert.deepEqual((await complete(machine.client, 'plain', spec(['true']))).run.exit, { kind: 'exited', code: 0 });
});

import assert from 'node:assert/strict';
import { closeSync, openSync, readFileSync } from 'node:fs';
import { chmod, mkdir, mkdtemp, realpath, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { Socket } from 'node:net';
import { join } from 'node:path';
import { buffer } from 'node:stream/consumers';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { test } from 'node:test';
import { systemClock } from '@croft/runtime/clock';
import { textOfBytes } from './byte-text.ts';
import type { Command, Exited, Launcher } from './command.ts';
import { openFifoLauncher } from './fifo-launcher.ts';
import { openLauncher } from './launcher.ts';
import { openSpawnLauncher } from './spawn-launcher.ts';

const fast = openSpawnLauncher(systemClock, { ownSession: false });
await fast?.[Symbol.asyncDispose]();
const noFfi = fast ? false : 'this Node has no node:ffi';

const env = { PATH: '/usr/bin:/bin' };

interface Ended {
  readonly pid: number;
  readonly output: Buffer;
  readonly exited: Exited;
}

async function complete(launcher: Launcher, argv: readonly string[], rest: Partial<Command> = {}): Promise<Ended | string> {
  const command: Command = { argv: argv as [string, ...string[]], cwd: '/', env, ...rest };
  const launched = await launcher.launch(command, (start) => start(), { signal: systemClock.deadline(20_000) });
  if (launched.kind === 'failed') return launched.code;
  const output = await buffer(new Socket({ fd: launched.readFd, readable: true, writable: false }));
  return { pid: launched.pid, output, exited: await launched.exited };
}

async function shell(launcher: Launcher, script: string, rest: Partial<Command> = {}): Promise<Ended & { text: string }> {
  const ended = await complete(launcher, ['sh', '-c', script], rest);
  assert.ok(typeof ended === 'object', `not started: ${JSON.stringify(ended)}`);
  return { ...ended, text: ended.output.toString() };
}

/** What every way to start commands must do. */
function contract(name: string, open: (dir: string) => Promise<Launcher | undefined>): void {
  async function withLauncher(use: (launcher: Launcher, dir: string) => Promise<void>): Promise<void> {
    const dir = await realpath(await mkdtemp(join(tmpdir(), 'croft-launcher-')));
    try {
      await using launcher = await open(join(dir, 'pipes'));
      if (launcher) await use(launcher, dir);
    } finally {
      await rm(dir, { recursive: true, force: true });
    }
  }
  const skip = name === 'posix_spawn' ? noFfi : false;
  const ways = (what: string, use: (launcher: Launcher, dir: string) => Promise<void>): void => {
    test(`${name}: ${what}`, { skip }, () => withLauncher(use));
  };

  ways('a command has its directory, its environment, a session of its own and no input', async (launcher, dir) => {
    const script = 'pwd; env | sort; read -r _ _ _ _ g s _ </proc/$$/stat; echo $(($$ - g)) $(($$ - s)); cat; ls -l /proc/self/fd/0';
    const { text } = await shell(launcher, script, { cwd: dir, env: { ...env, A_B: 'x=y', EMPTY: '' } });
    assert.match(text, new RegExp(`^${dir}\nA_B=x=y\nEMPTY=\nPATH=/usr/bin:/bin\n(?:PWD=.*\n)?(?:[A-Z_]+=.*\n)*0 0\n.*/dev/null\n$`));
  });

  ways('stdout and stderr are one pipe, in exact order, that can be opened again', async (launcher) => {
    const { text } = await shell(launcher, 'for i in 1 2 3; do echo out $i; echo err $i >&2; done; echo again > /dev/stderr; echo end');
    assert.equal(text, 'out 1\nerr 1\nout 2\nerr 2\nout 3\nerr 3\nagain\nend\n');
  });

  ways('nothing that is open here is open there, and no signal is ignored or held', async (launcher, dir) => {
    const path = join(dir, 'open');
    const fd = openSync(path, 'w');
    const { text } = await shell(launcher, 'ls -l /proc/self/fd; grep -E "Sig(Blk|Ign)" /proc/self/status');
    closeSync(fd);
    assert.ok(!text.includes(path));
    assert.match(text, /\nSigBlk:\s+0+\nSigIgn:\s+0*(?:180000000)?\n$/); // two of the C library's own are left to who started us
  });

  ways('exit codes and signals are told as they were', async (launcher) => {
    for (const code of [0, 1, 126, 127, 255]) assert.equal((await shell(launcher, `exit ${code}`)).exited.code, code);
    for (const signal of ['KILL', 'TERM', 'SEGV', 'USR1', 'PIPE']) {
      const { exited } = await shell(launcher, `kill -${signal} $$`);
      assert.deepEqual([exited.code, exited.signal], [null, `SIG${signal}`]);
    }
  });

  ways('why a command does not start is told with the code of the system', async (launcher, dir) => {
    await writeFile(join(dir, 'plain'), 'echo');
    await writeFile(join(dir, 'lost'), '#!/no/such/interpreter\n', { mode: 0o755 });
    assert.equal(await complete(launcher, ['./none'], { cwd: dir }), 'ENOENT');
    assert.equal(await complete(launcher, ['no-such-program']), 'ENOENT');
    assert.equal(await complete(launcher, ['']), 'ENOENT');
    assert.equal(await complete(launcher, ['./plain'], { cwd: dir }), 'EACCES');
    assert.equal(await complete(launcher, ['plain'], { cwd: dir, env: { PATH: dir } }), 'EACCES');
    assert.equal(await complete(launcher, ['./lost'], { cwd: dir }), 'ENOENT');
    assert.equal(await complete(launcher, [dir]), 'EACCES');
    assert.equal(await complete(launcher, ['true'], { cwd: join(dir, 'nowhere') }), 'ENOENT');
    assert.equal(await complete(launcher, ['echo', 'x'.repeat(3_000_000)]), 'E2BIG');
    assert.equal(await complete(launcher, ['echo', 'a\0b']), 'EINVAL');
  });

  ways('a name is looked up in the PATH of the command, past what cannot be executed', async (launcher, dir) => {
    for (const sub of ['first', 'second', 'third']) await mkdir(join(dir, sub));
    await mkdir(join(dir, 'first', 'tool'));
    await writeFile(join(dir, 'second', 'tool'), '#!/bin/sh\necho not this\n');
    await writeFile(join(dir, 'third', 'tool'), '#!/bin/sh\necho "$0 $1"\n', { mode: 0o755 });
    const ended = await complete(launcher, ['tool', 'x'], { cwd: dir, env: { PATH: `${dir}/first:second:${dir}/none:third:/bin` } });
    assert.match((ended as Ended).output.toString(), /third\/tool x\n$/);
  });

  ways('a script without a first line is run by the shell', async (launcher, dir) => {
    await writeFile(join(dir, 'script'), 'echo "$1"; exit 5');
    await chmod(join(dir, 'script'), 0o755);
    const { output, exited } = (await complete(launcher, ['./script', 'given'], { cwd: dir })) as Ended;
    assert.deepEqual([output.toString(), exited.code], ['given\n', 5]);
  });

  ways('hundreds at once each get their own output and end, beside children of Node', async (launcher) => {
    const node = Array.from({ length: 20 }, async (_, index) => (await once(spawn('sh', ['-c', `exit ${index}`]), 'exit'))[0] as number);
    const ours = Array.from({ length: 300 }, async (_, index) => shell(launcher, `echo ${index}; exit ${index % 256}`));
    for (const [index, { text, exited }] of (await Promise.all(ours)).entries()) {
      assert.deepEqual([text, exited.code], [`${index}\n`, index % 256]);
    }
    assert.deepEqual(await Promise.all(node), [...Array.from({ length: 20 }).keys()]);
  });

  ways('a start that is called off makes no process', async (launcher) => {
    const command: Command = { argv: ['true'], cwd: '/', env };
    await assert.rejects(
      launcher.launch(command, () => assert.fail('made'), { signal: AbortSignal.abort(new Error('off')) }),
      /off/,
    );
  });
}

contract('fifo', openFifoLauncher);
contract('posix_spawn', async () => openSpawnLauncher(systemClock, { ownSession: true }));

test(
  'posix_spawn: bytes that are no text, signals without a name and what was used are told exactly, and no descriptor is passed on',
  { skip: noFfi },
  async () => {
    await using launcher = openSpawnLauncher(systemClock, { ownSession: false });
    assert.ok(launcher);
    const bytes = (await complete(launcher, ['printf', '%s', textOfBytes(Buffer.from('ff41c3', 'hex'))])) as Ended;
    assert.equal(bytes.output.toString('hex'), 'ff41c3');
    assert.equal((await shell(launcher, 'kill -40 $$')).exited.signal, 'SIG40');
    assert.equal((await shell(launcher, 'ls /proc/self/fd | wc -l')).text.trim(), '4');
    const { pid, text } = await shell(launcher, 'read -r _ _ _ _ group session _ </proc/$$/stat; echo $group $session');
    assert.equal(text, `${pid} ${sessionOf(process.pid)}\n`);
    const { usage } = (await shell(launcher, 'i=0; while [ $i -lt 20000 ]; do i=$((i+1)); done')).exited;
    assert.ok(usage && usage.cpuMs >= 1 && usage.peakBytes > 100_000 && usage.peakBytes < 1e9, JSON.stringify(usage));
  },
);

test('posix_spawn: what is asked to be exact is not given to a shell', { skip: noFfi }, async () => {
  const dir = await mkdtemp(join(tmpdir(), 'croft-launcher-'));
  await writeFile(join(dir, 'script'), 'exit 0', { mode: 0o755 });
  await using launcher = openSpawnLauncher(systemClock, { ownSession: false });
  assert.ok(launcher);
  assert.equal(await complete(launcher, [join(dir, 'script')], { exact: true }), 'ENOEXEC');
  await rm(dir, { recursive: true });
});

function sessionOf(pid: number): string | undefined {
  return readFileSync(`/proc/${pid}/stat`, 'latin1').split(') ').at(-1)?.split(' ')[3];
}

test('the fast way is taken where it works, and the other where it is asked for', async () => {
  const dir = await mkdtemp(join(tmpdir(), 'croft-launcher-'));
  const pipesDir = join(dir, 'pipes');
  await using auto = await openLauncher({ pipesDir, clock: systemClock, trees: { way: 'freezer' } });
  await using fifo = await openLauncher({ pipesDir, clock: systemClock, trees: { way: 'freezer' }, way: 'fifo' });
  assert.deepEqual([auto.way, fifo.way], [fast ? 'posix_spawn' : 'fifo', 'fifo']);
  await rm(dir, { recursive: true });
});

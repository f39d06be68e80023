/**
 * Shells for people: each shell that Debian has as that of the account, with a terminal and with a command line, starts with exactly what a
 * command starts with (ENV-4, ENV-5). The account is another one in a mount namespace of its own. docs/protocols/runs.md#shells
 */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import type { RunSpec } from '@croft/protocol/runs';
import { createTerminals } from '../commands/terminals.ts';
import { complete, endOf, outputMatching, readOutput, runId, spec, startMachine, withCode, type TestMachine } from '../testing.ts';

const terminal = { cols: 80, rows: 24, term: 'xterm' };
const asked = {
  SPACED: ' a b  c ',
  QUOTED: `it's "so" \`and\` \\so!`,
  DOLLAR: '$HOME ${x} $(id) %n',
  TWO_LINES: 'one\ntwo\n',
  FOREIGN: 'žluťoučký 漢字 🐎',
  NONE: '',
  CGO_ENABLED: '0',
  LC_ALL: 'C.UTF-8',
};
const path = ['/opt/own tools/bin', '/opt/go/bin'];
/** What shells set by themselves, whoever starts them. */
const ofShells = /^(?:_|SHLVL|OLDPWD|HOSTTYPE|VENDOR|OSTYPE|MACHTYPE|GROUP|HOST|COLUMNS|LINES|NLSPATH)$/;
const ofEach = /^(?:CROFT_COOKIE|TERM)$/;

const noNamespaces = (): string | false => {
  if (!createTerminals(undefined).available()) return 'the package @lydell/node-pty has nothing for this system';
  const may = process.getuid?.() === 0 && spawnSync('unshare', ['-m', 'true']).status === 0;
  return may ? false : 'only root can give the test an account of its own (unshare -m)';
};

/** A machine whose user has this shell. It was started with an empty home that is not the account's, as a service may be, and without a name. */
async function machineWith(shell: string, stack: AsyncDisposableStack): Promise<{ machine: TestMachine; home: string }> {
  const dir = await mkdtemp(join(tmpdir(), 'croft-shell-'));
  stack.defer(() => rm(dir, { recursive: true }));
  const home = join(dir, 'home');
  await mkdir(home, { mode: 0o700 });
  await writeFile(join(home, '.zshrc'), ''); // else zsh begins to ask what it should be like
  await writeFile(join(dir, 'passwd'), `root:x:0:0:root:${dir}:${shell}\n`);
  const inside = ['unshare', '-m', 'sh', '-c', 'unset USER LOGNAME; mount --bind "$0" /etc/passwd && exec "$@"', join(dir, 'passwd')];
  const machine = stack.use(await startMachine({ inside, env: { HOME: home, SHELL: '/bin/another' } }));
  await mkdir(join(machine.process.workDir, 'src'));
  return { machine, home };
}

function parseEnvironment(text: Buffer): Record<string, string> {
  const pairs = text
    .toString()
    .split('\0')
    .filter((pair) => pair !== '');
  return Object.fromEntries(pairs.map((pair) => [pair.slice(0, pair.indexOf('=')), pair.slice(pair.indexOf('=') + 1)]));
}

const login = (argv: readonly string[], rest: Partial<RunSpec> = {}): RunSpec =>
  spec(argv, { login: true, env: asked, path, dir: 'none/yet', elseDir: 'src', ...rest });

for (const shell of ['/bin/sh', '/bin/bash', '/bin/dash', '/bin/csh', '/bin/tcsh', '/usr/bin/fish', '/bin/zsh']) {
  const skip = existsSync(shell) ? noNamespaces() : `${shell} is not installed`;
  test(`${shell} starts with what a command starts with, and nothing is typed for it`, { skip, timeout: 60_000 }, async () => {
    await using stack = new AsyncDisposableStack();
    const { machine, home } = await machineWith(shell, stack);
    const { client } = machine;
    const command = await complete(client, 'command', { ...login(['env', '-0']), login: undefined });
    const expected = parseEnvironment(command.output);
    const { HOME, USER, LOGNAME, SHELL } = expected;
    assert.deepEqual([HOME, USER, LOGNAME, SHELL], [home, 'root', 'root', shell]);
    const line = await complete(client, 'line', login(['env -0']));
    assertSame(parseEnvironment(line.output), expected);

    await client.startOrAttach(runId('shell'), login([], { pty: terminal }), 1, {});
    const { input: before } = await outputMatching(client, 'shell', /[#$%>] /);
    if (shell !== '/usr/bin/fish') assert.doesNotMatch(before.slice(0, before.indexOf('# ')), /\n/); // fish says welcome
    assert.doesNotMatch(before, /env|export|cd |CGO_ENABLED/);
    const typed = `history >${home}/history; env -0 >${home}/seen; exit 3\r`;
    await client.writeStdin(runId('shell'), { from: 0, content: Buffer.from(typed) }, 1, {});
    assert.deepEqual((await endOf(client, 'shell')).exit, { kind: 'exited', code: 3 });
    assertSame(parseEnvironment(await readFile(join(home, 'seen'))), expected);
    const history = (await readFile(join(home, 'history'), 'utf8')).split('\n').filter((entry) => entry.trim() !== '');
    assert.ok(history.length <= 1, history.join('\n')); // at most the line itself
  });
}

test(
  'where the account has no shell it is sh, whatever SHELL says; without a terminal it reads commands',
  { skip: noNamespaces() },
  async () => {
    await using stack = new AsyncDisposableStack();
    for (const [index, shell] of ['/usr/sbin/nologin', '/bin/false', '/no/such/shell', ''].entries()) {
      const { machine, home } = await machineWith(shell, stack);
      const { client } = machine;
      const told = await complete(client, `line-${index}`, spec(['echo "$0 $SHELL $HOME $USER $LOGNAME"; exit 7'], { login: true }));
      assert.deepEqual(told.run.exit, { kind: 'exited', code: 7 });
      assert.equal(told.output.toString(), `/bin/sh /bin/sh ${home} root root\n`);
      await client.startOrAttach(runId(`read-${index}`), spec([], { login: true, input: true }), 1, {});
      await client.writeStdin(runId(`read-${index}`), { from: 0, content: Buffer.from('echo $((6*7))\nexit 5\n'), end: true }, 1, {});
      assert.deepEqual((await endOf(client, `read-${index}`)).exit, { kind: 'exited', code: 5 });
      assert.equal((await readOutput(client, `read-${index}`)).toString(), '42\n');
    }
  },
);

test('a shell takes one command line or none, a command at least its program', async () => {
  await using machine = await startMachine();
  const start = (what: RunSpec): Promise<unknown> => machine.client.startOrAttach(runId('bad'), what, 1, {});
  await assert.rejects(start(spec(['a', 'b'], { login: true })), withCode('invalid'));
  await assert.rejects(start(spec([])), withCode('invalid'));
});

function assertSame(seen: Record<string, string>, expected: Record<string, string>): void {
  const kept = ({ ...all }: Record<string, string>): Record<string, string> =>
    Object.fromEntries(Object.entries(all).filter(([name]) => !ofEach.test(name) && (name in expected || !ofShells.test(name))));
  assert.deepEqual(kept(seen), kept(expected));
}

/** The whole tree of a command dies with it, whatever its processes do to get away. */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { mkdtemp, readFile, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { systemClock } from '@croft/runtime/clock';
import { complete, endOf, isAlive, outputMatching, runId, shell, spec, startMachine, until } from '../testing.ts';
import { bornInside, findGroupHome, groupMembers, openDoor, removeGroup, strikeGroup, type GroupHome } from './groups.ts';
import { findNamed, findProcesses, isSameProcess, markProcess } from './processes.ts';
import { createTrees, fellLeftTree } from './trees.ts';

const group = findGroupHome(`croft-test-probe-${process.pid}`);
const noGroups = 'needs a cgroup hierarchy that this user may write to';

/** Prints the pid of a process that has left its session, its parent and its environment behind. */
const escape = `setsid env -i /bin/sh -c '(echo pid $$; exec >/dev/null 2>&1; sleep 1000) & (sleep 1000) &'`;

test('a background child that holds the pipe open does not hold up the end, and is killed', async () => {
  await using machine = await startMachine();
  const startedAt = systemClock.monotonic();
  const { run, output } = await complete(machine.client, 'background', shell('sleep 1000 & echo pid $!'));
  assert.ok(systemClock.monotonic() - startedAt < 10_000);
  assert.deepEqual(run.exit, { kind: 'exited', code: 0 });
  const pid = Number(/pid (\d+)/.exec(String(output))?.[1]);
  assert.ok(!isAlive(pid));
});

test('a grandchild with an empty environment in a session of its own dies at the end, on cancel and at a limit', async (context) => {
  if (!group) return context.skip(noGroups);
  await using machine = await startMachine();
  const pidsOf = (text: string): number[] => [...text.matchAll(/pid (\d+)/g)].map((match) => Number(match[1]));

  const ended = await complete(machine.client, 'ended', shell(`${escape}; sleep 0.1; exit 4`));
  assert.deepEqual(ended.run.exit, { kind: 'exited', code: 4 });
  assert.ok(pidsOf(String(ended.output)).length > 0);
  for (const pid of pidsOf(String(ended.output))) assert.ok(!isAlive(pid));

  await machine.client.startOrAttach(runId('cancelled'), shell(`${escape}; sleep 1000`), 1, {});
  const [, cancelled] = await outputMatching(machine.client, 'cancelled', /pid (\d+)/);
  await machine.client.cancel(runId('cancelled'), 'enough', 1, {});
  assert.ok(!isAlive(Number(cancelled)));

  await machine.client.startOrAttach(runId('limited'), shell(`${escape}; sleep 1000`, { limitMs: 300 }), 1, {});
  const [, limited] = await outputMatching(machine.client, 'limited', /pid (\d+)/);
  assert.equal((await endOf(machine.client, 'limited')).exit.kind, 'over-limit');
  assert.ok(!isAlive(Number(limited)));
});

test('no group is left behind when its run has ended', async (context) => {
  if (!group) return context.skip(noGroups);
  await using machine = await startMachine();
  const { output } = await complete(machine.client, 'groups', shell('cat /proc/self/cgroup'));
  const line = group.kind === 'freezer' ? /^\d+:[^:]*freezer[^:]*:(.*)$/m : /^0::(.*)$/m;
  const own = line.exec(String(output))?.[1] ?? '';
  assert.match(own, /croft-[0-9a-f]{12}-groups$/);
  const home = /^.*\/(croft-[0-9a-f]{12}-)groups$/.exec(own)?.[1] ?? assert.fail(own);
  await complete(machine.client, 'refused', spec(['no-such-program']));
  assert.deepEqual(
    (await readdir(group.own)).filter((name) => name.startsWith(home)),
    [],
  );
});

test('a fork bomb of a hundred children is gone at the time limit', async () => {
  await using machine = await startMachine();
  const script = 'i=0; while [ $i -lt 100 ]; do (trap "" TERM INT; while :; do sleep 0.05; done) & i=$((i+1)); done; echo pid $$; wait';
  await machine.client.startOrAttach(runId('bomb'), shell(script, { limitMs: 1_000 }), 1, {});
  await endOf(machine.client, 'bomb');
  const [, line = ''] = (await readFile(join(machine.process.dir, 'state/runs/bomb/record'), 'utf8')).split('\n');
  const { intent } = JSON.parse(line) as { intent: { tree: { cookie: string } } };
  assert.deepEqual(findProcesses(intent.tree.cookie, undefined), []);
});

test('without kernel groups, the process group and the cookie find the tree, also across sessions', async () => {
  const cookie = `cookie-test-${process.pid}:x`;
  const child = spawn('sh', ['-c', 'setsid sleep 1000 & sleep 1000 & env -i sleep 1000 & wait'], {
    detached: true,
    stdio: 'ignore',
    env: { PATH: process.env['PATH'], CROFT_COOKIE: cookie },
  });
  assert.ok(child.pid !== undefined);
  const leader = child.pid;
  await until('four processes run', () => findProcesses(cookie, leader).length >= 4);
  using trees = createTrees({ clock: systemClock, probeName: `croft-test-probe-${process.pid}` });
  assert.deepEqual(await trees.fell({ cookie }, leader), []);
  assert.deepEqual(findProcesses(cookie, leader), []);
});

test('what a buildlet left is killed by its group and by its cookie, and counted', async (context) => {
  if (!group) return context.skip(noGroups);
  const cookie = `left-test-${process.pid}:x`;
  const path = join(group.own, `croft-left-test-${process.pid}`);
  using trees = createTrees({ clock: systemClock, probeName: `croft-test-probe-${process.pid}` });
  const mark = { cookie, group: { kind: group.kind, path } };
  const inside = trees.spawnInside(mark, () => spawn('sleep', ['1000'], { detached: true, stdio: 'ignore', env: {} }), 'thread');
  const outside = spawn('sleep', ['1000'], { detached: true, stdio: 'ignore', env: { CROFT_COOKIE: cookie } });
  assert.ok(inside.pid !== undefined && outside.pid !== undefined);
  assert.deepEqual(await fellLeftTree(systemClock, mark, undefined), { found: 2, left: [] });
  await until('both are gone', () => inside.signalCode === 'SIGKILL' && outside.signalCode === 'SIGKILL');
  assert.ok(!existsSync(path));
});

test('the v1 freezer kills a group as a whole', async (context) => {
  const home: GroupHome = { kind: 'freezer', own: '/sys/fs/cgroup/freezer' };
  const path = join(home.own, `croft-freezer-test-${process.pid}`);
  if (!existsSync(join(home.own, 'cgroup.procs')) || process.getuid?.() !== 0) return context.skip('needs a v1 freezer hierarchy and root');
  const { mkdirSync } = await import('node:fs');
  mkdirSync(path);
  using into = openDoor('freezer', path, 'process');
  using back = openDoor('freezer', home.own, 'process');
  const child = bornInside({ into, back }, () =>
    spawn('sh', ['-c', 'setsid sleep 1000 & sleep 1000 & wait'], { stdio: 'ignore', env: {}, detached: true }),
  );
  await until('three processes run', () => groupMembers(path).length >= 3);
  while (groupMembers(path).length > 0) {
    strikeGroup('freezer', path);
    await systemClock.sleep(2);
  }
  await until('it is gone', () => child.signalCode === 'SIGKILL');
  removeGroup(path);
  assert.ok(!existsSync(path));
});

test('a pid that was given to another process is not taken for the old one', () => {
  const own = markProcess(process.pid);
  assert.ok(own && isSameProcess(own));
  assert.ok(!isSameProcess({ ...own, startTicks: String(Number(own.startTicks) - 1) }));
  assert.ok(!isSameProcess({ ...own, bootId: 'of an earlier start of this machine' }));
});

test('the commands of a buildlet that is asked to end by SIGTERM end with it', async () => {
  const dir = await mkdtemp(join(tmpdir(), 'croft-term-'));
  try {
    const machine = await startMachine({ dir });
    await machine.client.startOrAttach(runId('a'), shell('echo pid $$; sleep 1000'), 1, {});
    const [, pid] = await outputMatching(machine.client, 'a', /pid (\d+)/);
    await machine[Symbol.asyncDispose]();
    assert.ok(!isAlive(Number(pid)));
    await using next = await startMachine({ dir });
    assert.deepEqual((await endOf(next.client, 'a')).exit, { kind: 'lost', reason: 'its buildlet was stopped' });
  } finally {
    await rm(dir, { recursive: true, force: true });
  }
});

test('what a buildlet without kernel groups left behind is found by the names of its trees', async () => {
  const names = `croft-named-${process.pid}-`;
  const child = spawn('sleep', ['1000'], { stdio: 'ignore', env: { PATH: process.env['PATH'], CROFT_COOKIE: `ab12:${names}+exec-1` } });
  assert.deepEqual(await until('it is there', () => [findNamed(names)].find(({ length }) => length > 0)), [child.pid]);
  assert.deepEqual(findNamed(`${names}other`), []);
  child.kill('SIGKILL');
  await until('it is gone', () => findNamed(names).length === 0);
});

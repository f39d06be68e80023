/** What stays on the person's own disk after a command that was interrupted, broken off or had nothing to keep: nothing. */
import assert from 'node:assert/strict';
import { execFileSync, spawn, spawnSync, type ChildProcessWithoutNullStreams } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { text } from 'node:stream/consumers';
import { after, before, test } from 'node:test';
import { createRepo } from '@croft/forge/testing';
import { systemClock } from '@croft/runtime/clock';
import { openTestFarm, type TestFarm } from './testing.ts';

const main = join(import.meta.dirname, 'main.ts');
let farm: TestFarm;
before(async () => {
  farm = await openTestFarm();
  await farm.gomote(['create', '-count', '2', '-new-group', 'two', 'linux']);
});
after(() => farm[Symbol.asyncDispose]());

interface Stage {
  readonly temp: string;
  /** Where it runs. */
  readonly dir: string;
  start(args: readonly string[], path?: string): ChildProcessWithoutNullStreams;
  run(...args: string[]): Promise<{ status: number | null; stdout: string; stderr: string }>;
}

/** The command as a process, with a temp directory of its own. */
function stage(name: string): Stage {
  const [temp, dir] = [join(farm.home, name, 'temp'), join(farm.home, name, 'here')];
  for (const made of [temp, dir]) mkdirSync(made, { recursive: true });
  const start: Stage['start'] = (args, path = process.env['PATH'] ?? '') => {
    const env = { CROFT_SERVER: farm.url, HOME: farm.home, PATH: path, TMPDIR: temp };
    return spawn(process.execPath, [main, ...args], { cwd: dir, env, signal: systemClock.deadline(60_000) });
  };
  return {
    temp,
    dir,
    start,
    async run(...args) {
      const child = start(args);
      child.stdin.end();
      const [stdout, stderr] = await Promise.all([text(child.stdout), text(child.stderr), once(child, 'exit')]);
      return { status: child.exitCode, stdout, stderr };
    },
  };
}

test('standard input for several machines, whatever ends the command while it is read', async () => {
  const { temp, start } = stage('put');
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGKILL'] as const) {
    const child = start(['-group', 'two', 'put', '-', 'file']);
    await new Promise((taken) => child.stdin.write(Buffer.alloc(1_000_000), taken)); // more than a pipe holds
    child.kill(signal);
    await once(child, 'exit');
    assert.deepEqual(readdirSync(temp), [], signal);
  }
});

test('standard input arrives at several machines, large or empty', async () => {
  const { temp, start } = stage('arrives');
  for (const size of [0, 1, 300_000]) {
    const child = start(['-group', 'two', 'put', '-', `of-${size}`]);
    const content = Buffer.from(Array.from({ length: size }, (_, at) => at % 251));
    child.stdin.end(content);
    await once(child, 'exit');
    assert.equal(child.exitCode, 0);
    for (const alias of ['ann-linux-0', 'ann-linux-1'])
      assert.deepEqual(readFileSync(join(farm.machine(alias).workDir, `of-${size}`)), content);
  }
  assert.deepEqual(readdirSync(temp), []);
});

test('the clone that an archive of a commit is made from, interrupted while it is made', async () => {
  const { temp, dir, start } = stage('commit');
  const repo = createRepo(dir);
  repo.write('file', 'content');
  const commit = repo.commit('one');
  const bin = join(farm.home, 'bin');
  mkdirSync(bin);
  execFileSync('mkfifo', [join(bin, 'hangs')]);
  const git = execFileSync('sh', ['-c', 'command -v git']).toString().trim();
  const script = `#!/bin/sh\ncase " $* " in *" fetch "*) echo > ${bin}/hangs; exec sleep 60;; esac\nexec ${git} "$@"\n`;
  writeFileSync(join(bin, 'git'), script, { mode: 0o755 });
  const child = start(['puttar', 'ann-linux-0', commit], `${bin}:${process.env['PATH']}`);
  await readFile(join(bin, 'hangs'));
  assert.notDeepEqual(readdirSync(temp), []);
  child.kill('SIGINT');
  await once(child, 'exit');
  assert.deepEqual([child.exitCode, readdirSync(temp)], [130, []]);
});

test('places for output of several machines of which none came', async () => {
  const { temp, dir, run } = stage('outputs');
  writeFileSync(join(dir, 'file'), '');
  const detached = await run('-group', 'two', 'run', '-detach', 'true');
  assert.equal(detached.status, 0, detached.stderr);
  const notStarted = await run('-group', 'two', 'run', '-path', '$PATH', '-dir', 'none', 'true');
  assert.notEqual(notStarted.status, 0);
  const pushed = await run('create', '-count', '2', '-push', '.', 'linux');
  assert.equal(pushed.status, 0, pushed.stderr);
  assert.deepEqual(readdirSync(temp), []);
});

test('outputs of several machines lie where the person keeps what is temporary', async () => {
  const { stdout } = await farm.gomote(['-group', 'two', 'run', 'echo', 'out']);
  const files = stdout.trim().split('\n');
  assert.deepEqual(
    files.map((file) => [dirname(dirname(file)), readFileSync(file, 'utf8')]),
    Array(2).fill([join(farm.home, 'temp'), 'out\n']),
  );
});

test('drafts of groups and digests, left by one who was killed, are never read and go with the next of their kind', async () => {
  const { dir, run } = stage('drafts');
  const [groups, digests] = [join(farm.home, '.config/gomote/groups'), join(farm.home, '.cache/gomote/digests')];
  const { pid: dead } = spawnSync('true');
  mkdirSync(digests, { recursive: true });
  writeFileSync(join(groups, `two.json.${dead}.new`), '{"name":"two","inst');
  writeFileSync(join(digests, `0123.${dead}.new`), 'half');
  writeFileSync(join(dir, 'file'), 'content');
  const listed = await run('group', 'list');
  assert.deepEqual([listed.status, listed.stdout.includes(String(dead))], [0, false], listed.stderr);
  assert.equal((await run('group', 'create', 'third')).status, 0);
  const pushed = await run('push', 'ann-linux-0', '.', 'there');
  assert.equal(pushed.status, 0, pushed.stderr);
  const left = [...readdirSync(groups), ...readdirSync(digests)].filter((name) => name.includes(String(dead)));
  assert.deepEqual(left, []);
});

test('a draft of an archive that cannot have its name, or whose machine is broken off', async () => {
  const { dir, run } = stage('gettar');
  mkdirSync(join(dir, 'taken'));
  assert.equal((await run('gettar', '-output', 'taken', 'ann-linux-0')).status, 1);
  mkdirSync(join(farm.machine('ann-linux-0').workDir, 'only-here'));
  assert.equal((await run('-group', 'two', 'gettar', '-dir', 'only-here')).status, 1);
  assert.deepEqual(
    readdirSync(dir).filter((name) => name.endsWith('.part')),
    [],
  );
});

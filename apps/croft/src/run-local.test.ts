/** As a program, in temporary directories of its own, so that what it leaves behind can be seen. */
import assert from 'node:assert/strict';
import { spawn, type ChildProcessByStdio } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, realpathSync, rmSync, watch, existsSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Readable } from 'node:stream';
import { text } from 'node:stream/consumers';
import { test, type TestContext } from 'node:test';
import { fileURLToPath } from 'node:url';
import { createRepo, type Repo } from '@croft/forge/testing';

const main = fileURLToPath(new URL('main.ts', import.meta.url));

interface Stage {
  readonly repo: Repo;
  /** For what steps write, outside of the tree. */
  readonly out: string;
  readonly temp: string;
  start(...args: string[]): ChildProcessByStdio<null, Readable, Readable>;
  run(...args: string[]): Promise<{ status: number | null; stdout: string; stderr: string }>;
}

function openStage(context: TestContext, files: Readonly<Record<string, string>>): Stage {
  const dir = realpathSync(mkdtempSync(join(tmpdir(), 'croft-local-')));
  context.after(() => rmSync(dir, { recursive: true, force: true }));
  const repo = createRepo(join(dir, 'demo'));
  for (const [name, content] of Object.entries(files)) repo.write(name, content.replaceAll('OUT', join(dir, 'out')));
  for (const name of ['out', 'temp', 'home']) mkdirSync(join(dir, name));
  const env = { PATH: process.env['PATH'], HOME: join(dir, 'home'), TMPDIR: join(dir, 'temp'), HIDDEN: 'from steps', TOKEN: 'very-secret' };
  const start: Stage['start'] = (...args) =>
    spawn(process.execPath, [main, 'run', ...args], { cwd: repo.dir, env, stdio: ['ignore', 'pipe', 'pipe'] });
  return {
    repo,
    out: join(dir, 'out'),
    temp: join(dir, 'temp'),
    start,
    async run(...args) {
      const child = start(...args);
      const [stdout, stderr] = await Promise.all([text(child.stdout), text(child.stderr), once(child, 'exit')]);
      return { status: child.exitCode, stdout, stderr };
    },
  };
}

const config = `
dataDir: .croft
repos: [{ name: demo, url: . }]
secrets: [{ name: token, env: TOKEN }, { name: other, env: NOT_SET }]
builders:
  - name: unit
    repo: demo
    secrets: { GIVEN: token }
    env: { WHO: builder }
    steps:
      - { name: look, argv: [sh, -c, 'ls -A; echo "$WHO $CI [$HIDDEN] $GIVEN"; basename "$PWD"; echo made > made'] }
      - { name: again, argv: [cat, made, sub/new], env: { WHO: step } }
  - name: fails
    repo: demo
    steps:
      - { name: one, argv: [sh, -c, 'echo out; exit 3'] }
      - { name: two, argv: [touch, OUT/two] }
  - name: late
    repo: demo
    steps: [{ name: slow, argv: [sleep, '600'], limitMs: 200 }]
  - name: hangs
    repo: demo
    steps: [{ name: hang, argv: [sh, -c, 'sleep 600 & echo $! > OUT/pid.new; mv OUT/pid.new OUT/pid; wait'] }]
`;
const files = { 'croft.config.yaml': config, '.gitignore': 'ignored\n', ignored: 'x', tracked: 'old\n' };

test('the steps run on what lies here, with the farm’s environment, and secrets are blanked out', async (context) => {
  const stage = openStage(context, files);
  stage.repo.commit('one');
  stage.repo.write('sub/new', 'added\n');
  const { status, stdout, stderr } = await stage.run('--local', 'unit');
  assert.equal(status, 0, stderr);
  assert.equal(stdout, '.gitignore\ncroft.config.yaml\nsub\ntracked\nbuilder true [] ***********\ndemo\nmade\nadded\n');
  assert.match(stderr, /^configured for unit\nlook \(step\): sh -c .*\nagain \(step\): cat made sub\/new\npassed in .*\n$/);
  assert.equal(existsSync(join(stage.repo.dir, 'made')), false);
  assert.deepEqual(readdirSync(stage.temp), []);
  const committed = await stage.run('--local', 'unit', '--committed');
  assert.match(committed.stderr, /failed in again: exit status 1/);
  assert.match(committed.stdout, /^\.gitignore\ncroft\.config\.yaml\ntracked\n/);
});

test('a step that fails or takes too long is the end, and the exit status says it', async (context) => {
  const stage = openStage(context, files);
  const failed = await stage.run('--local', 'fails', '--json');
  assert.equal(failed.status, 1);
  const { end, steps } = JSON.parse(failed.stdout);
  assert.deepEqual(end, { kind: 'failed', step: 'one', text: 'exit status 3' });
  assert.deepEqual(
    steps.map(({ name, exit }: { name: string; exit: unknown }) => [name, exit]),
    [['one', { kind: 'exited', code: 3 }]],
  );
  assert.match(failed.stderr, /^out$/m);
  assert.deepEqual(readdirSync(stage.out), []);
  const late = await stage.run('--local', 'late');
  assert.equal(late.status, 1);
  assert.match(late.stderr, /timed-out in slow/);
  assert.deepEqual(readdirSync(stage.temp), []);
});

test('a toolchain lies beside the tree, at the tip of its branch', async (context) => {
  const stage = openStage(context, files);
  const compiler = createRepo(join(stage.out, 'compiler'));
  compiler.write('tool', 'v1\n');
  compiler.commit('one');
  stage.repo.write(
    'croft.config.yaml',
    `dataDir: .croft
repos: [{ name: demo, url: . }, { name: compiler, url: ${compiler.dir} }]
dependents: [{ toolchain: compiler, repos: [demo] }]
builders: [{ name: with, repo: demo, steps: [{ name: use, argv: [sh, -c, 'cat tracked "$WORKDIR/compiler/tool"'] }] }]
`,
  );
  stage.repo.commit('one');
  for (const more of [[], ['--committed']]) {
    const { status, stdout, stderr } = await stage.run('--local', 'with', ...more);
    assert.deepEqual([status, stdout], [0, 'old\nv1\n'], stderr);
  }
  assert.deepEqual(readdirSync(stage.temp), []);
});

test('Ctrl-C kills everything that was started and leaves nothing', { timeout: 60_000 }, async (context) => {
  const stage = openStage(context, files);
  const child = stage.start('--local', 'hangs');
  const said = text(child.stderr);
  await appeared(stage.out, 'pid');
  const pid = Number(readFileSync(join(stage.out, 'pid'), 'utf8'));
  child.kill('SIGINT');
  await once(child, 'exit');
  assert.equal(child.exitCode, 130);
  assert.match(await said, /interrupted: ending what runs[^\n]*\n[^\n]*interrupted; nothing is left behind\n$/);
  assert.equal(isAlive(pid), false);
  assert.deepEqual(readdirSync(stage.temp), []);
});

test('what is asked for wrongly is said before anything runs, and without a configuration "ci" finds its steps', async (context) => {
  const stage = openStage(context, files);
  const unknown = await stage.run('--local', 'unti');
  assert.deepEqual([unknown.status, unknown.stdout], [2, '']);
  assert.match(unknown.stderr, /there is no builder "unti"\nThere are: unit, fails, late, hangs/);
  assert.match((await stage.run('--local', 'unit', '--committed')).stderr, /has no commit yet/);
  rmSync(join(stage.repo.dir, 'croft.config.yaml'));
  assert.match((await stage.run('--local', 'unit')).stderr, /no configuration.*\nName one with --config/);
  const nothing = await stage.run('--local', 'ci');
  assert.equal(nothing.status, 1);
  assert.match(nothing.stderr, /^skipped: nothing to run was found/m);
  writeFileSync(join(stage.repo.dir, 'Makefile'), 'test:\n\t@echo made by make\n');
  assert.equal((await stage.run('--local', 'ci')).stdout, 'made by make\n');
  assert.deepEqual(readdirSync(stage.temp), []);
});

/** One that was killed and that nobody has asked for yet is not. */
function isAlive(pid: number): boolean {
  const stat = existsSync(`/proc/${pid}/stat`) ? readFileSync(`/proc/${pid}/stat`, 'utf8') : '';
  return stat !== '' && !/\) [ZX] /.test(stat);
}

async function appeared(dir: string, name: string): Promise<void> {
  const watcher = watch(dir);
  try {
    while (!existsSync(join(dir, name))) await once(watcher, 'change');
  } finally {
    watcher.close();
  }
}

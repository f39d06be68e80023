import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmodSync, copyFileSync, existsSync, mkdirSync, readFileSync, readdirSync, writeFileSync } from 'node:fs';
import { hostname } from 'node:os';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { test } from 'node:test';
import { withTree } from './testing.ts';

/** Stands for npm: notes the call, takes a moment in which it heeds no signal, puts a Node in place or fails as told. */
const npm = `#!/bin/sh
echo "$*" >> npm-calls
echo "npm runs" >&2
[ -z "$SLOW" ] || { trap '' INT TERM; sleep 0.3; }
[ -z "$NPM_SAYS" ] || { echo "$NPM_SAYS" >&2; exit 1; }
mkdir -p node_modules/.bin
printf '#!/bin/sh\\n%s\\n' "$NODE_SAYS" > node_modules/.bin/node
chmod +x node_modules/.bin/node
`;

interface Clone {
  readonly root: string;
  /** Runs the bootstrap there; \`env\` is added to a bare environment. */
  run(env?: Record<string, string>, ...args: string[]): Promise<{ code: number; said: string }>;
  /** The argument lines npm was called with. */
  calls(): string[];
}

function withClone(use: (clone: Clone) => Promise<void>): Promise<void> {
  return withTree({ 'package-lock.json': '{"lockfileVersion":3}', 'bin/npm': npm }, async (root) => {
    chmodSync(join(root, 'bin/npm'), 0o755);
    mkdirSync(join(root, 'tools'));
    for (const name of readdirSync(import.meta.dirname).filter((file) => /^bootstrap.*\.mjs$/.test(file))) {
      copyFileSync(join(import.meta.dirname, name), join(root, 'tools', name));
    }
    const calls = (): string[] =>
      existsSync(join(root, 'npm-calls')) ? readFileSync(join(root, 'npm-calls'), 'utf8').trim().split('\n') : [];
    await use({ root, calls, run: (env = {}, ...args) => runIn(root, env, args) });
  });
}

async function runIn(root: string, env: Record<string, string>, args: readonly string[]): Promise<{ code: number; said: string }> {
  const bare = { PATH: `${join(root, 'bin')}:/usr/bin:/bin`, NODE_SAYS: 'echo v26.10.0' };
  const child = spawn(process.execPath, [join(root, 'tools/bootstrap.mjs'), ...args], { cwd: root, env: { ...bare, ...env } });
  const exited = once(child, 'exit');
  const [said, [code]] = await Promise.all([text(child.stderr), exited]);
  return { code, said };
}

test('installs once, without install scripts, then has nothing to do until the lock changes', () =>
  withClone(async ({ root, run, calls }) => {
    assert.equal((await run()).code, 0);
    assert.match(calls()[0] ?? '', /^ci --ignore-scripts --include=dev/);
    assert.deepEqual(await run(), { code: 0, said: '' });
    assert.equal(calls().length, 1);
    writeFileSync(join(root, 'package-lock.json'), '{"lockfileVersion":3,"packages":{}}');
    await run();
    assert.equal(calls().length, 2);
    assert.deepEqual(
      readdirSync(root).filter((name) => name.startsWith('.')),
      [],
    );
  }));

test('two at once install once', () =>
  withClone(async ({ run, calls }) => {
    const ends = await Promise.all([run({ SLOW: '1' }), run({ SLOW: '1' }), run({ SLOW: '1' })]);
    assert.deepEqual(
      ends.map(({ code }) => code),
      [0, 0, 0],
    );
    assert.equal(calls().length, 1);
  }));

test('the lock of a dead owner is broken, that of a living one is not', () =>
  withClone(async ({ root, run, calls }) => {
    const lock = join(root, '.bootstrap.lock');
    const owner = join(lock, `${hostname()}@0123456789abcdef`);
    mkdirSync(lock);
    const dead = spawn('true');
    await once(dead, 'exit');
    writeFileSync(owner, `${dead.pid}\n`);
    assert.equal((await run()).code, 0);
    assert.equal(calls().length, 1);

    mkdirSync(lock);
    writeFileSync(owner, `${process.pid}\n`);
    writeFileSync(join(root, 'package-lock.json'), '{}');
    const waiting = spawn(process.execPath, [join(root, 'tools/bootstrap.mjs')], { cwd: root });
    const [said] = await once(waiting.stderr, 'data');
    waiting.kill('SIGKILL');
    assert.match(String(said), /another set-up is under way/);
    assert.equal(calls().length, 1);
  }));

test('a signal ends npm at once, frees the lock and is told', () =>
  withClone(async ({ root, run, calls }) => {
    const env = { PATH: `${join(root, 'bin')}:/usr/bin:/bin`, NODE_SAYS: 'echo v26.10.0', SLOW: '1' };
    const child = spawn(process.execPath, [join(root, 'tools/bootstrap.mjs')], { cwd: root, env });
    let said = '';
    child.stderr.on('data', (data) => {
      if (String(data).includes('npm runs')) child.kill('SIGTERM');
      said += String(data);
    });
    const [code] = await once(child, 'close');
    assert.equal(code, 1);
    assert.match(said, /the installation was interrupted/);
    assert.equal(existsSync(join(root, 'node_modules')), false);
    assert.equal((await run()).code, 0);
    assert.equal(calls().length, 2);
  }));

test('says what to do when npm is missing, cannot reach its registry, or finds lock and manifest apart', () =>
  withClone(async ({ root, run }) => {
    const cases: [Record<string, string>, RegExp][] = [
      [{ PATH: join(root, 'nowhere') }, /npm could not be started \(ENOENT\)\. Install Node\.js 20/],
      [{ NPM_SAYS: 'npm error code ENOTFOUND' }, /npm could not fetch the packages.*Check the network/],
      [{ NPM_SAYS: 'npm error code EUSAGE' }, /package\.json and package-lock\.json disagree/],
      [{ NPM_SAYS: 'npm error code ENOSPC' }, /npm could not write node_modules/],
      [{ NPM_SAYS: 'npm error odd' }, /npm ci failed \(1\)/],
      [{ NODE_SAYS: 'echo no such loader >&2; exit 127' }, /the pinned Node 26 does not run on this machine \(.*no such loader\)/],
    ];
    for (const [env, expected] of cases) {
      const { code, said } = await run(env);
      assert.equal(code, 1);
      assert.match(said, expected);
    }
    assert.equal((await run()).code, 0);
  }));

test('a missing browser is told, and is a failure only where one is required', () =>
  withClone(async ({ root, run }) => {
    const CROFT_CHROMIUM = join(root, 'no-chromium');
    const told = await run({ CROFT_CHROMIUM }, '--browser');
    assert.equal(told.code, 0);
    assert.match(told.said, /no Chromium: browser tests will be skipped\. CROFT_CHROMIUM names .*no-chromium, which does not exist/);
    const required = await run({ CROFT_CHROMIUM, CROFT_REQUIRE_BROWSER: '1' }, '--browser');
    assert.equal(required.code, 1);
    writeFileSync(CROFT_CHROMIUM, '');
    assert.deepEqual(await run({ CROFT_CHROMIUM, CROFT_REQUIRE_BROWSER: '1' }, '--browser'), { code: 0, said: '' });
  }));

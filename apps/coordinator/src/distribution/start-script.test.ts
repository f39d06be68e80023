import assert from 'node:assert/strict';
import { execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmod, mkdir, mkdtempDisposable, readFile, readdir, stat, symlink, writeFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { promisify } from 'node:util';
import type { Listener } from '@croft/web/listener';
import { openTestApp, type TestApp } from '../routes/testing.ts';
import { recipesDir } from './bundle-program.ts';

const run = promisify(execFile);
const script = join(recipesDir, 'start.sh');
const windows = process.platform === 'win32' && 'a POSIX shell is needed';

let app: TestApp;
let farm: Listener;
before(async () => {
  app = await openTestApp();
  farm = await app.listen();
});
after(async () => {
  await farm[Symbol.asyncDispose]();
  await app[Symbol.asyncDispose]();
});

const freshDir = (): ReturnType<typeof mkdtempDisposable> => mkdtempDisposable(join(tmpdir(), 'croft-start-'));

/** A PATH with the usual tools and nothing else, so that a machine can lack something. */
async function pathWith(dir: string, names: readonly string[]): Promise<string> {
  const bin = join(dir, 'bin');
  await mkdir(bin, { recursive: true });
  const usual = ['awk', 'cat', 'chmod', 'cut', 'grep', 'gzip', 'mkdir', 'mv', 'rm', 'sh', 'uname'];
  for (const name of [...usual, ...names]) {
    const { stdout } = await run('/bin/sh', ['-c', `command -v ${name}`]);
    await symlink(stdout.trim(), join(bin, name));
  }
  return bin;
}

interface Started {
  readonly status: number | null;
  readonly output: string;
}

/** Runs it until the supervisor has ended or says in its log that the buildlet was started; then ends it. */
async function start(args: readonly string[], path: string): Promise<Started> {
  const child = spawn('/bin/sh', [script, ...args], { env: { PATH: path }, stdio: ['ignore', 'pipe', 'pipe'], timeout: 60_000 });
  let output = '';
  const read = (data: Buffer): void => {
    output += data.toString();
    if (output.includes('buildlet started')) child.kill('SIGTERM');
  };
  child.stdout.on('data', read);
  child.stderr.on('data', read);
  const [status] = (await once(child, 'close')) as [number | null];
  return { status, output };
}

const fewFlags = (dir: string): string[] => ['--farm', farm.url, '--dir', dir, '--', '-version'];

for (const tools of [
  ['curl', 'sha256sum'],
  ['wget', 'shasum', 'perl'],
  ['wget', 'openssl'],
]) {
  test(
    `a machine without Node that has ${tools.join(', ')} gets all from the farm, and then needs it no more`,
    { skip: windows },
    async () => {
      await using dir = await freshDir();
      const home = join(dir.path, 'home');
      const path = await pathWith(dir.path, tools);
      const first = await start(fewFlags(home), path);
      assert.equal(first.status, 0, first.output);
      assert.match(first.output, /buildlet started/);
      assert.deepEqual((await readdir(home)).filter((name) => !['versions', 'versions.json', 'holder'].includes(name)).toSorted(), [
        'node',
        'node.sha256',
        'supervise.mjs',
        'supervise.mjs.sha256',
      ]);
      const gone = ['--farm', 'http://127.0.0.1:9', '--dir', home, '--', '-version'];
      assert.match((await start(gone, path)).output, /buildlet started/);
    },
  );
}

test('what was damaged on the machine is fetched anew, and is not run where that cannot be', { skip: windows }, async () => {
  await using dir = await freshDir();
  const flags = ['--node', process.execPath];
  const path = await pathWith(dir.path, ['curl', 'sha256sum']);
  assert.equal((await start([...flags, ...fewFlags(dir.path)], path)).status, 0);
  const file = join(dir.path, 'supervise.mjs');
  const good = await readFile(file);
  await writeFile(file, 'console.log("buildlet started: evil");');
  const away = await start([...flags, '--farm', 'http://127.0.0.1:9', '--dir', dir.path], path);
  assert.notEqual(away.status, 0);
  assert.doesNotMatch(away.output, /evil/);
  assert.match(away.output, /the supervisor could not be had/);
  assert.equal((await start([...flags, ...fewFlags(dir.path)], path)).status, 0);
  assert.deepEqual(await readFile(file), good);
});

test('what a farm says wrongly is not used: other bytes, another program, a redirect, an odd list', { skip: windows }, async () => {
  const answers: Record<string, { status?: number; body: string; headers?: Record<string, string> }> = {};
  const server = createServer((request, response) => {
    const { status = 200, body = '', headers = {} } = answers[request.url ?? ''] ?? { status: 404 };
    response.writeHead(status, headers).end(body);
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  const evil = 'console.log("buildlet started: evil");';
  const { stdout } = await run('sh', ['-c', 'printf %s "$1" | sha256sum', 'sh', evil]);
  const sum = stdout.slice(0, 64);
  answers['/evil'] = { body: evil };
  try {
    for (const [sums, program] of [
      [{ body: `${'0'.repeat(64)}  supervise.mjs\n` }, { body: evil }],
      [{ body: `${sum}  supervise.mjs\n` }, { body: 'throw new Error("not a supervisor")' }],
      [{ body: `${sum}  ../supervise.mjs\n` }, { body: evil }],
      [{ body: `${sum}  supervise.mjs\n` }, { status: 302, body: '', headers: { location: '/evil' } }],
      [{ body: '' }, { body: evil }],
    ] as const) {
      answers['/dist/buildlet/SHA256SUMS'] = sums;
      answers['/dist/buildlet/supervise.mjs'] = program;
      await using dir = await freshDir();
      const path = await pathWith(dir.path, ['curl', 'sha256sum']);
      const { status, output } = await start(['--node', process.execPath, '--farm', url, '--dir', join(dir.path, 'home')], path);
      assert.notEqual(status, 0, output);
      assert.doesNotMatch(output, /evil/);
      assert.ok(!(await readdir(join(dir.path, 'home'))).includes('supervise.mjs'), output);
    }
  } finally {
    server.close();
  }
});

test('addresses that anybody could answer at are refused', { skip: windows }, async () => {
  for (const address of [
    'http://farm.example',
    'http://localhost.evil.example',
    'http://127.0.0.1@evil.example',
    'https://farm/../x',
    'file:///etc',
  ]) {
    const { status, output } = await start(['--farm', address, '--dir', '/nonexistent/dir'], process.env['PATH'] ?? '');
    assert.equal(status, 2, `${address}: ${output}`);
  }
});

test('the installer lays out settings, key, script and unit, and systemd takes the unit', { skip: windows }, async (context) => {
  await using dir = await freshDir();
  const root = join(dir.path, 'root');
  const child = spawn('/bin/sh', [join(recipesDir, 'linux/install.sh'), '--farm', farm.url, '--host-type', 'linux-x64', '--root', root], {
    stdio: ['pipe', 'inherit', 'inherit'],
  });
  child.stdin.end('the-key\n');
  assert.deepEqual(await once(child, 'exit'), [0, null]);
  const read = (path: string): Promise<string> => readFile(join(root, path), 'utf8');
  assert.equal(await read('etc/croft-buildlet/settings'), `FARM=${farm.url}\nHOST_TYPE=linux-x64\nOPTIONS=\n`);
  assert.equal(await read('etc/croft-buildlet/key'), 'the-key\n');
  assert.equal((await stat(join(root, 'etc/croft-buildlet/key'))).mode & 0o777, 0o600);
  assert.equal(await read('usr/local/lib/croft-buildlet/start.sh'), await readFile(script, 'utf8'));
  const unit = join(root, 'etc/systemd/system/croft-buildlet.service');
  await chmod(root, 0o755);
  const verified = await run('systemd-analyze', ['verify', unit], { timeout: 30_000 }).catch(
    (error: unknown) => error as NodeJS.ErrnoException & { stderr: string },
  );
  if ('code' in verified && verified.code === 'ENOENT')
    return context.diagnostic('systemd-analyze is not installed: the unit was not verified');
  const complaints = verified.stderr
    .split('\n')
    .filter((line) => line.includes('croft-buildlet.service') && !line.includes('is not executable'));
  assert.deepEqual(complaints, []);
});

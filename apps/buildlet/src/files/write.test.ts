/** `PUT /write`. buildlet.md 1.8; checklist 4. */
import assert from 'node:assert/strict';
import { chmod, link, lstat, mkdir, mkdtemp, readFile, readdir, rename, rm, symlink, writeFile } from 'node:fs/promises';
import { request as httpRequest } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { ask, complete, shell, startMachine, until, type TestMachine } from '../testing.ts';

let machine: TestMachine;
before(async () => void (machine = await startMachine()));
after(() => machine[Symbol.asyncDispose]());

const work = (...names: string[]): string => join(machine.process.workDir, ...names);
const modeOf = async (path: string): Promise<number> => (await lstat(work(path))).mode & 0o7777;

async function put(path: string, mode: string | number, body: string | Uint8Array = 'text'): Promise<[number, string]> {
  const query = new URLSearchParams({ path, mode: String(mode) });
  const answer = await ask(machine.process, { method: 'PUT', path: `/write?${query}`, body });
  return [answer.status, answer.body];
}

test('the body becomes the file, its directories are made, its mode is that of Go', async () => {
  assert.deepEqual(await put('go/deep/VERSION', 420, 'devel'), [200, 'OK']);
  assert.equal(await readFile(work('go/deep/VERSION'), 'utf8'), 'devel');
  assert.equal(await modeOf('go/deep'), 0o755);
  const modes = { 420: 0o644, 493: 0o755, 2541: 0o755, 8389101: 0o4755, 511: 0o777 };
  for (const [mode, posix] of Object.entries(modes)) {
    assert.deepEqual(await put(`m${mode}`, mode), [200, 'OK']);
    assert.equal(await modeOf(`m${mode}`), posix, mode);
  }
});

test('a file that is there is truncated and changes its mode', async () => {
  await writeFile(work('old'), 'much longer than what comes', { mode: 0o600 });
  await put('old', 493, 'new');
  assert.deepEqual([await readFile(work('old'), 'utf8'), await modeOf('old')], ['new', 0o755]);
  assert.deepEqual(await put('old', 420, ''), [200, 'OK']);
  assert.equal((await lstat(work('old'))).size, 0);
});

test('bad modes, paths and methods are refused and write nothing', async () => {
  for (const mode of ['2147483648', '134217728', '67108864', '33554432', '16777216', '2097152', '524288', '-1', '', 'rw', '0644x']) {
    assert.deepEqual(await put('never', mode), [400, 'bad mode\n'], mode);
  }
  assert.equal((await ask(machine.process, { method: 'PUT', path: '/write?path=never' })).body, 'bad mode\n');
  for (const path of ['', '..', '../x', '/x', 'a/../../x', 'a\0b']) assert.equal((await put(path, 420))[0], 400, path);
  const posted = await ask(machine.process, { method: 'POST', path: '/write?path=never&mode=420' });
  assert.deepEqual([posted.status, posted.body], [400, 'requires POST method\n']);
  assert.ok(!(await readdir(work())).includes('never'));
});

test('what the system refuses is told in its words', async () => {
  await mkdir(work('dir'));
  assert.deepEqual(await put('dir', 420), [500, `open ${work('dir')}: is a directory\n`]);
  assert.deepEqual(await put('.', 420), [500, `open ${work()}: is a directory\n`]);
  await writeFile(work('flat'), '');
  assert.deepEqual(await put('flat/x', 420), [500, `open ${work('flat/x')}: not a directory\n`]);
});

test('links inside are followed, no link leads out', async () => {
  const outside = await mkdtemp(join(tmpdir(), 'croft-outside-'));
  try {
    await writeFile(join(outside, 'precious'), 'precious');
    await mkdir(work('real/deep'), { recursive: true });
    await symlink('real/deep', work('short'));
    await symlink('../..', work('real/deep/up'));
    await symlink(work('real'), work('absolute'));
    await symlink('real/target', work('to-file'));
    for (const path of ['short/a', 'short/up/b', 'absolute/c', 'to-file']) assert.deepEqual(await put(path, 420), [200, 'OK'], path);
    for (const path of ['real/deep/a', 'b', 'real/c', 'real/target']) assert.equal(await readFile(work(path), 'utf8'), 'text', path);
    await symlink(outside, work('escape'));
    await symlink(join(outside, 'precious'), work('escape-file'));
    await symlink('../../../..', work('real/deep/far'));
    await symlink('loop', work('loop'));
    for (const path of ['escape/x', 'escape-file', `real/deep/far${outside}/x`, 'loop', 'loop/x', 'short/up/../x']) {
      const [status] = await put(path, 420);
      assert.equal(status, path === 'short/up/../x' ? 200 : 400, path);
    }
    assert.deepEqual(await readdir(outside), ['precious']);
    assert.equal(await readFile(join(outside, 'precious'), 'utf8'), 'precious');
  } finally {
    await rm(outside, { recursive: true });
  }
});

test('a fifo is not written to, and a file with another name elsewhere keeps its links', async () => {
  await complete(machine.client, 'fifo', shell('mkfifo pipe'));
  assert.equal((await put('pipe', 420))[0], 500);
  await writeFile(work('one'), 'one');
  await link(work('one'), work('two'));
  await put('one', 420, 'both');
  assert.equal(await readFile(work('two'), 'utf8'), 'both');
});

test('a directory that is exchanged for a link all the time never lets a file out', async () => {
  const outside = await mkdtemp(join(tmpdir(), 'croft-outside-'));
  try {
    await mkdir(work('swap/dir'), { recursive: true });
    await symlink(outside, work('swap/link'));
    const rounds = Array.from({ length: 150 }, (_, at) => at);
    const exchange = async (): Promise<void> => {
      for (const _ of rounds) {
        await rename(work('swap/dir'), work('swap/kept')).catch(() => undefined);
        await rename(work('swap/link'), work('swap/dir')).catch(() => undefined);
        await rename(work('swap/dir'), work('swap/link')).catch(() => undefined);
        await rename(work('swap/kept'), work('swap/dir')).catch(() => undefined);
      }
    };
    const write = async (): Promise<void> => {
      for (const at of rounds) await put(`swap/dir/f${at}`, 420);
    };
    await Promise.all([exchange(), write(), write()]);
    assert.deepEqual(await readdir(outside), []);
  } finally {
    await rm(outside, { recursive: true });
    await chmod(work('swap'), 0o755);
  }
});

test('a file keeps what came before its sender broke off', async () => {
  const bytes = Buffer.from(Array.from({ length: 60_000 }, (_, at) => `${at % 10_000}`.padStart(5)).join(''));
  const { address } = machine.process;
  assert.ok('socketPath' in address);
  const request = httpRequest({
    socketPath: address.socketPath,
    method: 'PUT',
    path: '/write?path=broken-off&mode=420',
    auth: `anybody:${address.password}`,
    headers: { 'Content-Length': 2 * bytes.length },
    agent: false,
  });
  request.on('error', () => undefined); // it is cut
  request.write(bytes);
  const kept = (): Promise<Buffer> => readFile(work('broken-off')).catch(() => Buffer.alloc(0));
  await until('a batch is in the file', async () => (await kept()).length >= 262_144);
  request.destroy();
  await until('the rest that came is, too', async () => (await kept()).length === bytes.length);
  assert.ok((await kept()).equals(bytes));
});

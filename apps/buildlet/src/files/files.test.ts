/** `/writetgz` and `/removeall` as Go's programs and our client use them. buildlet.md 1.3, 1.7 and 1.9. */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmod, lstat, mkdir, mkdtemp, readFile, readdir, rm, symlink, writeFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { buffer } from 'node:stream/consumers';
import { after, before, test } from 'node:test';
import { gzipSync } from 'node:zlib';
import { systemClock } from '@croft/runtime/clock';
import { ask, complete, shell, startMachine, until, withCode, type TestMachine } from '../testing.ts';
import { rawEntry, rawTarGz } from '../testing-tar.ts';

let machine: TestMachine;
before(async () => void (machine = await startMachine()));
after(() => machine[Symbol.asyncDispose]());

const work = (...names: string[]): string => join(machine.process.workDir, ...names);
const missing = (path: string): Promise<boolean> =>
  lstat(path).then(
    () => false,
    () => true,
  );

/** Made by the system's own tar. */
async function tarGz(files: Record<string, string>): Promise<Buffer> {
  const dir = await mkdtemp(join(tmpdir(), 'croft-tar-'));
  try {
    for (const [name, text] of Object.entries(files)) {
      await mkdir(join(dir, name, '..'), { recursive: true });
      await writeFile(join(dir, name), text);
    }
    const child = spawn('tar', ['-czf', '-', '-C', dir, '.'], { stdio: ['ignore', 'pipe', 'inherit'] });
    return await buffer(child.stdout);
  } finally {
    await rm(dir, { recursive: true });
  }
}

const evil = (name: string): Buffer => rawTarGz(rawEntry(name, { content: 'x' }));

async function* pieces(...all: Uint8Array[]): AsyncGenerator<Uint8Array> {
  yield* all;
}

test('an archive is unpacked below the directory it is sent to', async () => {
  await machine.client.putTarGz('src/deep', pieces(await tarGz({ 'a.txt': 'A', 'sub/b.txt': 'B' })), 1, {});
  assert.equal(await readFile(work('src/deep/a.txt'), 'utf8'), 'A');
  assert.equal(await readFile(work('src/deep/sub/b.txt'), 'utf8'), 'B');
  const plain = await ask(machine.process, { method: 'PUT', path: '/writetgz', body: await tarGz({ top: 'T' }) });
  assert.deepEqual([plain.status, plain.body], [200, 'OK']);
  assert.equal(await readFile(work('top'), 'utf8'), 'T');
});

test('names and links that leave the work directory write nothing outside', async () => {
  const outside = await mkdtemp(join(tmpdir(), 'croft-outside-'));
  try {
    await symlink(outside, work('escape'));
    const status = async (path: string, body: Buffer): Promise<number> =>
      (await ask(machine.process, { method: 'PUT', path, body })).status;
    for (const name of ['../evil', '/evil', 'a/../../evil', 'escape/evil'])
      assert.notEqual(await status('/writetgz', evil(name)), 200, name);
    assert.equal(await status('/writetgz?dir=..', evil('evil')), 400);
    assert.equal(await status('/writetgz?dir=%2Ftmp', evil('evil')), 400);
    assert.equal(await status('/writetgz?dir=escape', evil('evil')), 400);
    assert.equal(await status('/writetgz?dir=escape/new', evil('evil')), 400);
    assert.deepEqual(await readdir(outside), []);
    assert.ok(await missing(work('..', 'evil')));
    await rm(work('escape'));
  } finally {
    await rm(outside, { recursive: true });
  }
});

test('bodies that are no archive are refused and harm nothing', async () => {
  const send = (body: Buffer) => ask(machine.process, { method: 'PUT', path: '/writetgz?dir=bad', body });
  assert.equal((await send(Buffer.from('plain text'))).status, 400);
  assert.equal((await send(Buffer.alloc(0))).status, 400);
  assert.equal((await send(gzipSync(Buffer.alloc(700, 'x')))).status, 400);
  const whole = await tarGz({ a: 'A'.repeat(100_000) });
  assert.equal((await send(whole.subarray(0, whole.length / 2))).status, 400);
  await assert.rejects(machine.client.putTarGz('bad', pieces(Buffer.from('plain text')), 1, {}), withCode('invalid'));
  assert.equal((await machine.client.status({})).Version, 27);
});

test('an archive can be fetched from an address, through redirects, and failures say which', async () => {
  const archive = await tarGz({ fetched: 'yes' });
  const files = createServer((request, response) => {
    if (request.url === '/moved') response.writeHead(302, { Location: '/a.tgz?signature=secret' }).end();
    else if (request.url?.startsWith('/a.tgz')) response.end(archive);
    else response.writeHead(404).end();
  }).listen(0, '127.0.0.1');
  await once(files, 'listening');
  try {
    const origin = `http://127.0.0.1:${(files.address() as AddressInfo).port}`;
    const post = (fields: Record<string, string>, dir = 'fetched') =>
      ask(machine.process, {
        method: 'POST',
        path: `/writetgz?dir=${dir}`,
        headers: { 'Content-Type': 'application/x-www-form-urlencoded' },
        body: new URLSearchParams(fields).toString(),
      });
    assert.equal((await post({ url: `${origin}/moved` })).body, 'OK');
    assert.equal(await readFile(work('fetched/fetched'), 'utf8'), 'yes');
    const failed = await post({ url: `${origin}/none?signature=secret` });
    assert.equal(failed.status, 500);
    assert.match(failed.body, /^writetgz: fetching provided URL ".*\/none": 404 Not Found\n$/);
    assert.deepEqual([(await post({})).status, (await post({})).body], [400, 'missing url POST param\n']);
    assert.equal((await post({ url: 'file:///etc/passwd' })).status, 400);
    await mkdir(work('go1.4'));
    assert.equal((await post({ url: `${origin}/none` }, 'go1.4')).body, 'SKIP');
  } finally {
    files.close();
    files.closeAllConnections();
  }
});

test('100,000 files are removed at once and deleted behind', async () => {
  await complete(
    machine.client,
    'many',
    shell('mkdir many && cd many && seq 1 20000 | xargs touch && for i in 1 2 3 4; do cp -r . ../many$i; done && mv ../many[1-4] .'),
  );
  const startedAt = systemClock.monotonic();
  await machine.client.removeAll(['many'], 1, {});
  const elapsed = systemClock.monotonic() - startedAt;
  assert.ok(await missing(work('many')));
  assert.ok(elapsed < 500, `it took ${elapsed} ms`);
  await until('the trash is empty', async () => (await readdir(`${machine.process.workDir}.trash`)).length === 0);
});

test('removing “.” empties the work directory and keeps it', async () => {
  await mkdir(work('one/two'), { recursive: true });
  await writeFile(work('.hidden'), 'x');
  const { ino } = await lstat(work());
  await machine.client.removeAll(['.'], 1, {});
  assert.deepEqual(await readdir(work()), []);
  assert.equal((await lstat(work())).ino, ino);
});

test('nothing outside is ever removed, and a bad path stops the whole request', async () => {
  const outside = await mkdtemp(join(tmpdir(), 'croft-keep-'));
  try {
    await writeFile(join(outside, 'precious'), 'x');
    await symlink(outside, work('link'));
    await writeFile(work('kept'), 'x');
    for (const path of ['..', '../x', 'a/../..', '/', outside, 'link/precious', 'a/../../work', '']) {
      const answer = await ask(machine.process, { method: 'POST', path: `/removeall?path=kept&path=${encodeURIComponent(path)}` });
      assert.equal(answer.status, 400, path);
    }
    assert.equal(await readFile(work('kept'), 'utf8'), 'x');
    assert.equal(await readFile(join(outside, 'precious'), 'utf8'), 'x');
  } finally {
    await rm(outside, { recursive: true });
  }
});

test('links are removed and not followed; read-only trees go; a missing path is success', async () => {
  const outside = await mkdtemp(join(tmpdir(), 'croft-keep-'));
  try {
    await writeFile(join(outside, 'precious'), 'x');
    await symlink(outside, work('to-outside'));
    await mkdir(work('locked/inner'), { recursive: true });
    await writeFile(work('locked/inner/file'), 'x', { mode: 0o444 });
    await symlink(outside, work('locked/inner/link'));
    await chmod(work('locked/inner'), 0o555);
    await chmod(work('locked'), 0o555);
    await machine.client.removeAll(['to-outside', 'locked', 'never/was'], 1, {});
    assert.ok((await missing(work('to-outside'))) && (await missing(work('locked'))));
    await until('the trash is empty', async () => (await readdir(`${machine.process.workDir}.trash`)).length === 0);
    assert.equal(await readFile(join(outside, 'precious'), 'utf8'), 'x');
  } finally {
    await rm(outside, { recursive: true });
  }
});

test('trash that a killed predecessor left is deleted at the next start', async () => {
  const { process: buildlet } = machine;
  await buildlet.kill9();
  const trash = `${buildlet.workDir}.trash`;
  await mkdir(join(trash, 'left/deep'), { recursive: true });
  await writeFile(join(trash, 'left/deep/file'), 'x');
  await buildlet.restart();
  await until('it is gone', async () => (await readdir(trash)).length === 0);
});

test('without a path nothing is removed, and the wrong method is 400', async () => {
  assert.deepEqual((await ask(machine.process, { method: 'POST', path: '/removeall' })).body, "requires 'path' parameter\n");
  assert.equal((await ask(machine.process, { path: '/removeall?path=x' })).status, 400);
  assert.equal((await ask(machine.process, { path: '/writetgz' })).body, 'requires PUT or POST method\n');
  const both = await ask(machine.process, {
    method: 'POST',
    path: '/removeall?path=q1',
    headers: { 'Content-Type': 'application/x-www-form-urlencoded' },
    body: 'path=b1&path=b2',
  });
  assert.deepEqual([both.status, both.body], [200, '']);
});

test('tens of thousands of long paths are removed by one form', async () => {
  const directory = 'a/rather/deep/directory/with/a/long/name/'.repeat(5);
  await mkdir(work(directory), { recursive: true });
  const paths = Array.from({ length: 20_000 }, (_, n) => `${directory}file-${n}`);
  await writeFile(work(`${directory}file-19999`), 'x');
  await writeFile(work(`${directory}kept`), 'x');
  await machine.client.removeAll(paths, 1, {});
  assert.deepEqual(await readdir(work(directory)), ['kept']);
});

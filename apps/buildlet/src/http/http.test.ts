/** Who is served at all, Go's small endpoints, and requests that nobody should send. buildlet.md 1.1, 1.2, 1.4 and Part 6. */
import assert from 'node:assert/strict';
import { chmod, mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { once } from 'node:events';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { after, before, test } from 'node:test';
import { createBuildlet } from '@croft/buildlet/client';
import { systemClock } from '@croft/runtime/clock';
import { isCode } from '@croft/runtime/errors';
import { ask, spec, startMachine, withCode, type TestMachine } from '../testing.ts';
import { listen } from './listener.ts';

let machine: TestMachine;
let tcp: TestMachine;
before(async () => {
  machine = await startMachine();
  tcp = await startMachine({ listen: '127.0.0.1:0' });
});
after(async () => {
  await machine[Symbol.asyncDispose]();
  await tcp[Symbol.asyncDispose]();
});

const startSomething = { method: 'PUT', path: '/runs/a', headers: { 'Croft-Epoch': '1' }, body: JSON.stringify(spec(['true'])) };

test('small endpoints answer as Go’s do (checklist 1)', async () => {
  const get = async (path: string, method = 'GET') => {
    const { status, body } = await ask(machine.process, { path, method });
    return [status, body];
  };
  assert.deepEqual(await get('/'), [200, `buildlet running on linux-${process.arch === 'x64' ? 'amd64' : process.arch}\n`]);
  assert.deepEqual(await get('/healthz'), [200, 'ok\n']);
  assert.deepEqual(await get('/workdir'), [200, machine.process.workDir]);
  assert.equal((JSON.parse(String((await get('/status'))[1])) as { Version: number }).Version, 27);
  assert.deepEqual(await get('/nope'), [404, '404 page not found\n']);
  assert.deepEqual(await get('/status/'), [404, '404 page not found\n']);
  assert.deepEqual(await get('/status', 'POST'), [400, 'requires GET method\n']);
  assert.equal((await get('/status', 'HEAD'))[0], 400);
  assert.deepEqual(await get('/halt'), [400, 'requires POST method\n']);
  assert.deepEqual(await get('/__proto__'), [404, '404 page not found\n']);
});

test('the password is asked for everywhere but on health checks, with any user name (checklist 2)', async () => {
  for (const password of [undefined, '', 'wrong', `${machine.process.address.password}x`]) {
    for (const path of ['/status', '/workdir', '/runs', '/runs/a', '/removeall?path=.', '/halt']) {
      const { status, body } = await ask(machine.process, { path, password, method: 'POST' });
      assert.deepEqual([status, body], [403, 'invalid password\n'], path);
    }
    assert.equal((await ask(machine.process, { ...startSomething, password })).status, 403);
    for (const path of ['/', '/healthz']) assert.equal((await ask(machine.process, { path, password })).status, 200);
    assert.equal((await ask(machine.process, { path: '/nope', password })).status, 404);
  }
  await using stranger = createBuildlet({ ...machine.process.address, password: 'guessed' }, { clock: systemClock });
  await assert.rejects(stranger.status({}), withCode('forbidden'));
});

test('a body larger than 4 MiB, of paths larger than 32 MiB, is refused as that', async () => {
  const body = `path=${'x'.repeat(33 * 1024 * 1024)}`;
  const run = await ask(machine.process, { ...startSomething, body });
  assert.equal(run.status, 413);
  assert.match(run.body, /"too-large".*larger than 4194304 bytes/);
  const headers = { 'Content-Type': 'application/x-www-form-urlencoded' };
  const remove = await ask(machine.process, { method: 'POST', path: '/removeall', headers, body });
  assert.deepEqual([remove.status, remove.body], [413, 'the body is larger than 33554432 bytes\n']);
});

test('a page of another origin cannot start a command', async () => {
  const headers = (more: Record<string, string>) => ({ ...startSomething.headers, ...more });
  for (const own of [machine.process, tcp.process]) {
    for (const more of [
      { Origin: 'https://evil.example' },
      { Origin: 'null' },
      { 'Sec-Fetch-Site': 'cross-site' },
      { 'Sec-Fetch-Site': 'same-site' },
    ]) {
      assert.equal((await ask(own, { ...startSomething, headers: headers(more) })).status, 403);
    }
    assert.deepEqual(await (own === tcp.process ? tcp : machine).client.runs({}), []);
  }
});

test('a rebound DNS name is refused on TCP, also for health checks; its own addresses are served', async () => {
  const status = async (host: string, path = '/status') => (await ask(tcp.process, { path, headers: { Host: host } })).status;
  const { port } = tcp.process.address;
  for (const host of ['evil.example', `evil.example:${port}`, '10.0.0.7', '127.0.0.1.evil.example', 'localhost.evil.example']) {
    assert.equal(await status(host), 403, host);
    assert.equal(await status(host, '/healthz'), 403, host);
  }
  for (const host of ['localhost', `127.0.0.1:${port}`, `LOCALHOST:${port}`, '[::1]', '']) assert.equal(await status(host), 200, host);
});

test('malformed and oversized requests are answered or cut, and nothing else stops', async () => {
  const { socketPath } = machine.process.address;
  assert.ok(socketPath !== undefined);
  const send = async (bytes: string): Promise<string> => {
    const socket = connect(socketPath);
    socket.on('error', () => {});
    socket.end(bytes);
    return text(socket).catch(() => '');
  };
  assert.match(await send('nonsense\r\n\r\n'), /^HTTP\/1\.1 400 /);
  assert.match(await send(`GET / HTTP/1.1\r\nHost: x\r\nX: ${'y'.repeat(40_000)}\r\n\r\n`), /^HTTP\/1\.1 431 /);
  assert.match(await send('GET  HTTP/1.1\r\nHost: x\r\n\r\n'), /^HTTP\/1\.1 400 /);
  assert.match(
    await send('POST /removeall HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n'),
    /^HTTP\/1\.1 400 /,
  );
  assert.match(await send('GET http://[ HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n'), /^HTTP\/1\.1 404 /);
  await send('PUT /writetgz HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\nshort');
  await send('CONNECT evil.example:443 HTTP/1.1\r\nHost: x\r\n\r\n');
  await send('\0'.repeat(1000));
  assert.equal((await machine.client.status({})).Version, 27);
});

test('an upload that is refused is answered although its sender has not finished', async () => {
  async function* endless(): AsyncGenerator<Uint8Array> {
    for (;;) yield Buffer.alloc(65_536);
  }
  await using stranger = createBuildlet({ ...machine.process.address, password: 'guessed' }, { clock: systemClock });
  await assert.rejects(stranger.putTarGz('x', endless(), 1, {}), withCode('forbidden'));
  await assert.rejects(machine.client.putTarGz('x', endless(), 1, {}), withCode('invalid'));
  await assert.rejects(machine.client.putTarGz('..', endless(), 1, {}), withCode('invalid'));
});

test('an address others can reach, or a socket others can enter, is refused before anything is served', async () => {
  const dir = await mkdtemp(join(tmpdir(), 'croft-listen-'));
  try {
    const path = join(dir, 'open', 'socket');
    await mkdir(join(dir, 'open'));
    await chmod(join(dir, 'open'), 0o755);
    const nobody = (): void => {};
    await assert.rejects(listen({ kind: 'tcp', host: '0.0.0.0', port: 0 }, { insecure: false }, nobody), withCode('invalid'));
    await assert.rejects(listen({ kind: 'unix', path }, { insecure: false }, nobody), /other users can enter/);
    await assert.rejects(
      listen({ kind: 'unix', path: join(dir, 'none', 'socket') }, { insecure: false }, nobody),
      (error) => isCode(error, 'invalid') && /mkdir -m 700/.test(error.hint ?? ''),
    );
    await chmod(join(dir, 'open'), 0o700);
    await writeFile(path, 'precious');
    await assert.rejects(listen({ kind: 'unix', path }, { insecure: false }, nobody), withCode('conflict'));
    await rm(path);
    const server = await listen({ kind: 'unix', path }, { insecure: false }, nobody);
    await assert.rejects(listen({ kind: 'unix', path }, { insecure: false }, nobody), withCode('conflict'));
    server.close();
    await once(server, 'close');
    const open = await listen({ kind: 'tcp', host: '0.0.0.0', port: 0 }, { insecure: true }, nobody);
    open.close();
  } finally {
    await rm(dir, { recursive: true });
  }
});

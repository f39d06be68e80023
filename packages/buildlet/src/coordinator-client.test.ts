/** Go's coordinator as its clients see it, against a small server that answers to the byte what buildlet.md 3.9 has. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import type { IncomingMessage, RequestListener, ServerResponse } from 'node:http';
import { createServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { systemClock } from '@croft/runtime/clock';
import { CroftError, errorText, isCode, type ErrorCode } from '@croft/runtime/errors';
import { systemRandom } from '@croft/runtime/random';
import { FakeClock } from '@croft/runtime/testing';
import {
  createCoordinatorClient,
  readUserAuth,
  type CoordinatorClient,
  type CoordinatorOptions,
  type WaitStatus,
} from './coordinator-client.ts';
import { createKeyPair } from './key-pair.ts';

const keyPair = await createKeyPair({ clock: systemClock, random: systemRandom });
const auth = { user: 'user-gopher', password: '875a7345b291621360b36e62a0fc6a14' };
const machine =
  '{"User":"user-gopher","Name":"user-gopher-linux-amd64-0","HostType":"host-linux-kubestd","BuilderType":"linux-amd64","Created":"2017-07-28T18:00:00Z","Expires":"2017-07-28T18:30:00Z"}';
const withCode =
  (code: ErrorCode, text = /^/) =>
  (error: unknown) =>
    (isCode(error, code) && text.test(errorText(error))) || assert.fail(`not "${code}": ${errorText(error)}`);

interface Stage extends AsyncDisposable {
  readonly client: CoordinatorClient;
  readonly port: number;
  /** Head and body of each request. */
  readonly asked: { request: IncomingMessage; body: string }[];
}

async function stage(answer: RequestListener, options: Partial<CoordinatorOptions> = {}): Promise<Stage> {
  const asked: Stage['asked'] = [];
  const server = createServer({ cert: keyPair.certificate, key: keyPair.key }, async (request, response) => {
    const body = (await Array.fromAsync(request as AsyncIterable<Buffer>, String)).join('');
    asked.push({ request, body });
    answer(request, response);
  }).listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  const client = createCoordinatorClient(`localhost:${port}`, { clock: systemClock, auth, ...options });
  return {
    client,
    port,
    asked,
    async [Symbol.asyncDispose]() {
      await client[Symbol.asyncDispose]();
      server.closeAllConnections();
      server.close();
    },
  };
}

/** The form of 2019: lines as they come. */
const lines =
  (...given: string[]) =>
  (_: IncomingMessage, response: ServerResponse): void => {
    response.writeHead(200, { 'X-Supported-Version': '20191119' }).flushHeaders();
    response.end(given.map((line) => `${line}\n`).join(''));
  };

test('a machine is asked for as Go’s gomote does, and its name given back as a client', async () => {
  const told: WaitStatus[] = [];
  const answer = lines(
    '{"status":{"message":"","ahead":2}}',
    '{"news":1}',
    '{"status":{"message":"soon"}}',
    `{"buildlet":${machine}}`,
    '{"error":"late"}',
  );
  await using at = await stage(answer);
  await using client = await at.client.createBuildlet('linux-amd64', { onStatus: (status) => void told.push(status) });
  assert.equal(client.remoteName, 'user-gopher-linux-amd64-0');
  assert.equal(client.url, `https://localhost:${at.port}`);
  assert.deepEqual(told, [
    { message: '', ahead: 2 },
    { message: 'soon', ahead: 0 },
  ]);
  const [{ request, body } = assert.fail('nothing was asked')] = at.asked;
  assert.equal(`${request.method} ${request.url}`, 'POST /buildlet/create');
  assert.equal(body, 'builderType=linux-amd64&version=20191119');
  assert.equal(request.headers['content-type'], 'application/x-www-form-urlencoded');
  assert.equal(request.headers['accept-encoding'], undefined);
  assert.equal(request.headers.authorization, `Basic ${Buffer.from(`${auth.user}:${auth.password}`).toString('base64')}`);
});

test('coordinators that answer with one object are understood, by the version that they tell', async () => {
  for (const version of [{}, { 'X-Supported-Version': '20160922' }]) {
    await using at = await stage((_, response) => response.writeHead(200, version).end(`${machine}\n`));
    await using client = await at.client.createBuildlet('linux-amd64', {});
    assert.equal(client.remoteName, 'user-gopher-linux-amd64-0');
  }
});

test('an answer that ends without a machine is a failure in its own words', async () => {
  const answers: [RequestListener, ErrorCode, RegExp][] = [
    [lines('{"status":{"ahead":1}}'), 'unavailable', /ended its response stream without a terminal message/],
    [lines('{"error":"no such machine today"}'), 'unavailable', /no such machine today/],
    [lines('{"buildlet":{"Created":"2017-07-28T18:00:00Z","Expires":"2017-07-28T18:30:00Z"}}'), 'unavailable', /unnamed buildlet/],
    [lines('<html>'), 'unavailable', /not understood/],
    [(_, response) => response.end('{}'), 'unavailable', /not understood/],
    [(_, response) => response.writeHead(400).end("missing 'builderType' parameter\n"), 'invalid', /400 missing 'builderType' parameter/],
    [(_, response) => response.writeHead(401).end('bad username or password\n'), 'unauthenticated', /bad username or password/],
    [
      (_, response) => void response.writeHead(200, { 'X-Supported-Version': '20191119' }).write('{"sta', () => response.destroy()),
      'unavailable',
      /^/,
    ],
  ];
  for (const [answer, code, text] of answers) {
    await using at = await stage(answer);
    await assert.rejects(at.client.createBuildlet('', {}), withCode(code, text));
  }
});

test('waiting ends with the caller’s signal, and when the coordinator falls silent', async () => {
  const begun: RequestListener = (_, response) =>
    response.writeHead(200, { 'X-Supported-Version': '20191119' }).write('{"status":{"ahead":1}}\n');
  await using at = await stage(begun);
  const cancel = new AbortController();
  const stop = (): void => cancel.abort(new CroftError('cancelled', 'nobody wants it'));
  await assert.rejects(at.client.createBuildlet('x', { signal: cancel.signal, onStatus: stop }), withCode('cancelled', /nobody wants it/));
  const clock = new FakeClock();
  await using silent = await stage(begun, { clock });
  const pass = (): void => void setImmediate(() => clock.advance(60_000));
  await assert.rejects(silent.client.createBuildlet('x', { onStatus: pass }), withCode('timeout', /said nothing for 60 s/));
});

test('one’s machines are listed with their times', async () => {
  await using at = await stage((_, response) => response.end(`[\n  ${machine}\n]\n`));
  assert.deepEqual(await at.client.remoteBuildlets({}), [
    {
      user: 'user-gopher',
      name: 'user-gopher-linux-amd64-0',
      hostType: 'host-linux-kubestd',
      builderType: 'linux-amd64',
      createdAt: Date.UTC(2017, 6, 28, 18),
      expiresAt: Date.UTC(2017, 6, 28, 18, 30),
    },
  ]);
  assert.equal(at.asked[0]?.request.url, '/buildlet/list');
});

test('a named machine is driven by way of the coordinator, with trailers and with its ports', async () => {
  await using at = await stage((request, response) => {
    if (request.url === '/exec') {
      response.writeHead(200, { Trailer: 'Process-State' }).write('hi\n');
      response.addTrailers({ 'Process-State': 'exit status 3' });
      response.end();
    } else if (request.url === '/tcpproxy') {
      response.socket?.write('HTTP/1.1 101 Switching Protocols\r\nUpgrade: tcpproxy\r\nConnection: upgrade\r\n\r\nearly');
    } else response.end('{"Version":25}');
  });
  await using client = at.client.namedBuildlet('user-gopher-linux-amd64-0');
  assert.equal((await client.exec('true', { systemLevel: true }, {})).state, 'exit status 3');
  assert.equal((await client.status({})).Version, 25);
  const line = await client.proxyTcp(5_900, {});
  assert.equal(String((await once(line, 'data'))[0]), 'early');
  line.destroy();
  for (const { request } of at.asked) assert.equal(request.headers['x-buildlet-proxy'], 'user-gopher-linux-amd64-0');
  assert.equal(at.asked.at(-1)?.request.headers['x-target-port'], '5900');
});

test('a request is forwarded with our credentials and without the caller’s', async () => {
  await using at = await stage((_, response) => response.writeHead(201, { 'X-Kept': '1' }).end('made'));
  await using client = at.client.namedBuildlet('a-machine');
  const headers = {
    Authorization: 'Basic c3RvbGVu',
    'X-Buildlet-Proxy': 'another',
    Connection: 'close',
    'X-Mine': '1',
    'Content-Type': 'text/plain',
  };
  async function* body(): AsyncGenerator<Buffer> {
    yield Buffer.from('content');
  }
  const response = await client.forward({ method: 'PUT', path: '/write?path=x', headers, body: body() }, {});
  assert.equal(response.statusCode, 201);
  response.resume();
  const [{ request, body: sent } = assert.fail('nothing was asked')] = at.asked;
  assert.equal(sent, 'content');
  assert.equal(request.headers.authorization, `Basic ${Buffer.from(`${auth.user}:${auth.password}`).toString('base64')}`);
  assert.equal(request.headers['x-buildlet-proxy'], 'a-machine');
  assert.deepEqual([request.headers['x-mine'], request.headers['content-type']], ['1', 'text/plain']);
});

test('anybody may answer on localhost alone; elsewhere the authority that is named', async () => {
  await using at = await stage((_, response) => response.end('[]'));
  const client = (instance: string, over: Partial<CoordinatorOptions> = {}): CoordinatorClient =>
    createCoordinatorClient(instance, { clock: systemClock, auth, ...over });
  await using unknown = client(`127.0.0.1:${at.port}`);
  await assert.rejects(unknown.remoteBuildlets({}), withCode('unavailable'));
  await using known = client(`127.0.0.1:${at.port}`, { ca: keyPair.certificate, serverName: 'localhost' });
  assert.deepEqual(await known.remoteBuildlets({}), []);
  assert.equal(at.asked.length, 1, 'nobody else heard the password');
  for (const instance of ['', 'a b:c', 'host:port']) assert.throws(() => client(instance), withCode('invalid', /coordinator instance/));
  await using port = client('elsewhere.example');
  assert.equal(port.namedBuildlet('x').url, 'https://elsewhere.example');
});

test('who one is, is read as gomote keeps it', async () => {
  const home = await mkdtemp(join(tmpdir(), 'croft-gomote-'));
  const dir = join(home, '.config', 'gomote');
  await mkdir(dir, { recursive: true });
  await writeFile(join(dir, 'user-gopher.token'), '  secret\n');
  await writeFile(join(dir, 'staging-user-gopher.token'), 'staged');
  await writeFile(join(dir, 'user-alias.user'), 'gopher\n');
  const env = { HOME: home, USER: 'gopher' };
  const read = (over: Partial<Parameters<typeof readUserAuth>[0]> = {}) => readUserAuth({ env, platform: 'linux', ...over });
  assert.deepEqual(await read(), { user: 'user-gopher', password: 'secret' });
  assert.deepEqual(await read({ user: 'alias' }), { user: 'user-gopher', password: 'secret' });
  assert.deepEqual(await read({ staging: true }), { user: 'user-gopher', password: 'staged' });
  await assert.rejects(
    read({ env: { ...env, XDG_CONFIG_HOME: join(home, 'x') } }),
    withCode('not-found', /Missing file .*\/x\/gomote\/user-gopher\.token for user "gopher"/),
  );
  await assert.rejects(read({ env: { HOME: home } }), withCode('invalid', /user flag must be specified/));
  await assert.rejects(read({ user: '../../etc/x' }), withCode('invalid'));
  await assert.rejects(
    read({ platform: 'win32', env: { USERNAME: 'g', APPDATA: 'C:\\a' } }),
    withCode('not-found', /C:\\a\\Gomote\\user-g\.token/),
  );
  await rm(home, { recursive: true });
});

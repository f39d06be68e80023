/** The v1 protocol of Go's gomote, asked as its clients ask, with a real buildlet behind it. Labels: gomote-ssh.md 5. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { request as httpRequest, type IncomingMessage } from 'node:http';
import { connect, createServer, type AddressInfo } from 'node:net';
import { text } from 'node:stream/consumers';
import { after, describe, test } from 'node:test';
import fc from 'fast-check';
import type { BuildletAddress } from '@croft/buildlet/client';
import { startTestBuildlet } from '@croft/buildlet/testing';
import { systemClock } from '@croft/runtime/clock';
import type { SessionView } from '@croft/protocol/sessions';
import { fakeSession, type FakeSessions } from '../sessions/testing.ts';
import { countUses, openProxyStage, testKeys, type ProxyStage } from './testing-proxy.ts';

const machine = await startTestBuildlet();
after(() => machine[Symbol.asyncDispose]());
const name = 'user-ann-linux-0';

interface Asking {
  readonly method?: string;
  readonly user?: string;
  readonly password?: string;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: BodyInit;
  readonly signal?: AbortSignal;
}

function ask(
  stage: ProxyStage,
  path: string,
  { user = 'user-ann', password = testKeys.keyOf(user), headers, ...init }: Asking = {},
): Promise<Response> {
  const authorization = `Basic ${Buffer.from(`${user}:${password}`).toString('base64')}`;
  return fetch(`${stage.listener.url}${path}`, { ...init, headers: { authorization, ...headers } });
}

const said = async (answer: Response): Promise<string> => `${answer.status} ${await answer.text()}`;
const proxied = { 'x-buildlet-proxy': name };
const wish = (version: string, builderType = 'linux'): URLSearchParams => new URLSearchParams({ version, builderType });

describe('V1-1: who is who', () => {
  test('a key of Go’s and a token of this farm both count as password of user-NAME; nothing else does', async () => {
    await using stage = await openProxyStage(machine.address);
    assert.equal(await said(await fetch(`${stage.listener.url}/buildlet/list`)), '400 missing required authentication\n');
    const token = await stage.token('ann');
    assert.equal((await ask(stage, '/buildlet/list', { password: token })).status, 200);
    assert.equal((await ask(stage, '/buildlet/list')).status, 200);
    for (const wrong of [
      { user: 'ann' },
      { user: 'ann', password: token },
      { password: '' },
      { password: 'a master key of tests' },
      { password: testKeys.keyOf('user-bob') },
      { user: 'user-', password: testKeys.keyOf('user-') },
      { password: `${token}0` },
    ])
      assert.equal(await said(await ask(stage, '/buildlet/list', wrong)), '401 bad username or password\n', JSON.stringify(wrong));
  });

  test('ten wrong passwords from one place make it wait, but for the right one', async () => {
    await using stage = await openProxyStage(machine.address);
    for (let count = 0; count < 10; count += 1) assert.equal((await ask(stage, '/buildlet/list', { password: `no${count}` })).status, 401);
    assert.equal((await ask(stage, '/buildlet/list', { password: 'no' })).status, 429);
    assert.equal((await ask(stage, '/buildlet/list')).status, 200);
  });

  test('where Go’s keys are not accepted only tokens count; a viewer borrows nothing', async () => {
    await using stage = await openProxyStage(machine.address, { keys: undefined });
    assert.equal((await ask(stage, '/buildlet/list')).status, 401);
    const { authorization } = await stage.app.as('viewer');
    assert.equal((await ask(stage, '/buildlet/list', { password: authorization.replace('Bearer ', '') })).status, 403);
  });

  test('no head whatever does more than be refused', async () => {
    await using stage = await openProxyStage(machine.address, { keys: undefined });
    const header = fc.oneof(
      fc.base64String(),
      fc.string().map((one) => Buffer.from(one).toString('base64')),
      fc.constantFrom('', ':', '===='),
    );
    await fc.assert(
      fc.asyncProperty(header, fc.constantFrom('Basic ', 'basic', 'Bearer ', ''), async (value, scheme) => {
        const authorization = `${scheme}${value}`.replaceAll(/[^\x20-\x7e]/g, '');
        const { status } = await fetch(`${stage.listener.url}/buildlet/list`, { headers: { authorization } });
        assert.ok([400, 401, 429].includes(status), `${status}`);
      }),
      { numRuns: 60 },
    );
  });
});

describe('create', () => {
  test('V1-2: what is wrong is told in Go’s words', async () => {
    await using stage = await openProxyStage(machine.address);
    assert.equal(await said(await ask(stage, '/buildlet/create')), '400 POST required\n');
    const create = async (body: URLSearchParams): Promise<string> => said(await ask(stage, '/buildlet/create', { method: 'POST', body }));
    const old = '400 gomote client version "20160921" is too old; predates server minimum version "20160922"\n';
    assert.equal(await create(wish('20160921')), old);
    assert.equal(await create(wish('20191119', '')), "400 missing 'builderType' parameter\n");
    for (const unknown of ['plan9', 'toString', '__proto__'])
      assert.equal(await create(wish('20191119', unknown)), "400 unknown builder type in 'builderType' parameter\n");
  });

  test('V1-4, V1-5, V1-7: older clients get one object, named for them', async () => {
    await using stage = await openProxyStage(machine.address);
    const answer = await ask(stage, '/buildlet/create', { method: 'POST', body: wish('20160922') });
    assert.equal(answer.headers.get('x-supported-version'), '20191119');
    assert.equal(answer.headers.get('content-type'), 'application/json; charset=utf-8');
    const line = await answer.text();
    assert.match(
      line,
      /^\{"User":"user-ann","Name":"user-ann-linux-1","HostType":"local","BuilderType":"linux","Created":"[^"]+Z","Expires":"[^"]+Z"\}\n$/,
    );
  });

  test('V1-3, V1-6: a stream tells the machines, then how many are ahead, then the machine; who goes away leaves the queue', async () => {
    const waiting = (position: number): Partial<SessionView> => ({ state: 'waiting', wait: { code: 'behind', text: '', position } });
    const sessionsLike = (plain: FakeSessions): FakeSessions => ({
      ...plain,
      async create(who, of) {
        const session = { ...(await plain.create(who, of)), ...waiting(2) };
        plain.put(session);
        return session;
      },
    });
    await using stage = await openProxyStage(machine.address, { sessionsLike });
    const leaving = new AbortController();
    const asked = { method: 'POST', body: wish('20191119'), signal: leaving.signal };
    const lines = linesOf(await ask(stage, '/buildlet/create', asked));
    const hosts = 'host type "local" is not elastic; 1 of 2 machines connected, 1 busy';
    assert.deepEqual(await lines.next(), { status: { message: hosts, ahead: 0 } });
    const session = [...stage.sessions.all.values()].find(({ state }) => state === 'waiting');
    assert.ok(session);
    stage.sessions.put({ ...session, state: 'active' });
    assert.equal(((await lines.next()) as { buildlet: { Name: string } }).buildlet.Name, 'user-ann-linux-1');
    const other = linesOf(await ask(stage, '/buildlet/create', asked));
    await other.next();
    leaving.abort();
    const isEnded = (): boolean =>
      [...stage.sessions.all.values()].some(({ state, endReason }) => state === 'ended' && /gone away/.test(endReason ?? ''));
    while (!isEnded()) await systemClock.sleep(20);
  });

  test('a session that ends before it has a machine is an error', async () => {
    const sessionsLike = (plain: FakeSessions): FakeSessions => ({
      ...plain,
      create: async () => fakeSession({ id: 'S00000000000000ff', state: 'ended', endReason: 'no machine was to be had' }),
      async *follow() {
        yield fakeSession({ id: 'S00000000000000ff', state: 'ended', endReason: 'no machine was to be had' });
      },
    });
    await using stage = await openProxyStage(machine.address, { sessionsLike });
    const create = async (version: string): Promise<string> =>
      said(await ask(stage, '/buildlet/create', { method: 'POST', body: wish(version) }));
    assert.equal(await create('20191119'), '200 {"error":"no machine was to be had"}\n');
    assert.equal(await create('20160922'), '500 no machine was to be had\n');
  });
});

describe('V1-8: list', () => {
  test('shows one’s own and what is shared, never another’s; none is an empty list', async () => {
    await using stage = await openProxyStage(machine.address);
    assert.equal(await said(await ask(stage, '/buildlet/list', { user: 'user-bob' })), '200 []\n');
    const listed = await (await ask(stage, '/buildlet/list')).text();
    assert.match(listed, /^\[\n {2}\{\n {4}"User": "user-ann",\n {4}"Name": "user-ann-linux-0",\n/);
    assert.ok(listed.endsWith('\n  }\n]\n'));
    assert.equal(await said(await ask(stage, '/buildlet/list', { method: 'POST' })), '400 GET required\n');
  });
});

describe('V1-9 to V1-13: the proxy', () => {
  test('V1-10: unknown and foreign machines; foreign calls are no use of them', async () => {
    await using stage = await openProxyStage(machine.address);
    const at = (headers: Record<string, string>, user?: string): Promise<Response> =>
      ask(stage, '/workdir', { headers, ...(user && { user }) });
    for (const unknown of ['user-ann-linux-7', '../x', 'x'.repeat(3_000)])
      assert.equal(await said(await at({ 'x-buildlet-proxy': unknown })), '502 unknown or expired buildlet\n');
    assert.equal(await said(await at(proxied, 'user-bob')), "401 you don't own that buildlet\n");
    assert.equal(stage.sessions.entered.get('S00000000000000a1') ?? 0, 0);
    assert.equal(await said(await at(proxied)), `200 ${machine.workDir}`);
  });

  test('the requests of Go’s client (V1-14) reach the machine as they are, at any address of the port', async () => {
    await using stage = await openProxyStage(machine.address);
    const go = async (method: string, path: string, body?: BodyInit): Promise<string> => {
      const type: Record<string, string> = body instanceof URLSearchParams ? { 'content-type': 'application/x-www-form-urlencoded' } : {};
      return said(await ask(stage, path, { method, headers: { ...proxied, ...type }, ...(body !== undefined && { body }) }));
    };
    assert.equal(await go('PUT', '/write?mode=420&path=a%20b%2Fc', 'hello'), '200 OK');
    assert.match(
      await go('GET', '/ls?digest=true&dir=a+b&recursive=false&skip='),
      /^200 -rw-r--r--\tc\t5\t[^\t]+\taaf4c61ddcc5e8a2dabede0f3b482cd9aea9434d\n$/,
    );
    assert.match(await go('GET', '/status'), /^200 \{"Version":/);
    assert.equal(await go('POST', '/removeall', new URLSearchParams({ path: 'a b' })), '200 ');
    assert.match(
      await go('PUT', '/write?mode=420&path=..%2Fx', 'x'),
      /^(400|403|500) (?!\{)/,
      'failures are text, as Go’s client prints it',
    );
    for (const path of ['/debug/x', '/selftest', '/']) assert.equal(await go('GET', path), '404 404 page not found\n');
  });

  test('RUN-2: output comes with its trailer, bytes as they are', async () => {
    await using stage = await openProxyStage(machine.address);
    const form = new URLSearchParams([
      ['cmd', '/bin/sh'],
      ['mode', 'sys'],
      ['cmdArg', '-c'],
      ['cmdArg', String.raw`printf '%%d \0 \377'; exit 3`],
    ]);
    const authorization = `Basic ${Buffer.from(`user-ann:${testKeys.keyOf('user-ann')}`).toString('base64')}`;
    const headers = { ...proxied, authorization, 'content-type': 'application/x-www-form-urlencoded' };
    const asked = httpRequest(`${stage.listener.url}/exec`, { method: 'POST', headers });
    asked.end(form.toString());
    const [answer] = (await once(asked, 'response')) as [IncomingMessage];
    assert.deepEqual(Buffer.concat(await Array.fromAsync(answer as AsyncIterable<Buffer>)), Buffer.from([0x25, 0x64, 0x20, 0, 0x20, 0xff]));
    assert.equal(answer.trailers['process-state'], 'exit status 3');
    assert.deepEqual(await stage.app.audited(), ['ann: session.run ann-linux-0']);
  });

  test('V1-11: a command that says nothing counts as use for as long as it lasts', async () => {
    const uses = countUses();
    await using stage = await openProxyStage(machine.address, { sessionsLike: uses.counting });
    const form = new URLSearchParams([
      ['cmd', '/bin/sh'],
      ['mode', 'sys'],
      ['cmdArg', '-c'],
      ['cmdArg', 'until test -e on; do sleep 0.05; done; rm on'],
    ]);
    const command = await ask(stage, '/exec', { method: 'POST', headers: proxied, body: form });
    assert.equal(uses.open, 1);
    assert.equal((await ask(stage, '/write?mode=420&path=on', { method: 'PUT', headers: proxied, body: 'x' })).status, 200);
    await command.text();
    while (uses.open > 0) await systemClock.sleep(10);
  });

  test('V1-12: /halt ends the session and never reaches the machine', async () => {
    await using stage = await openProxyStage(machine.address);
    assert.equal(await said(await ask(stage, '/halt', { method: 'POST', headers: proxied })), '200 ');
    assert.equal(stage.sessions.all.get('S00000000000000a1')?.state, 'ended');
    assert.equal(await said(await ask(stage, '/workdir', { headers: proxied })), '502 unknown or expired buildlet\n');
    assert.ok(machine.pid > 0 && (await fetch(stage.listener.url)).ok);
  });

  test('V1-13: /tcpproxy is a raw connection to a port of the machine', async () => {
    const heads: string[] = [];
    const far = createServer((socket) => {
      socket.once('data', (head: Buffer) => {
        heads.push(String(head).split('\r\n')[0] ?? '');
        socket.write('HTTP/1.1 101 Switching Protocols\r\nUpgrade: croft-raw\r\n\r\n');
        socket.pipe(socket);
      });
    }).listen(0, '127.0.0.1');
    await once(far, 'listening');
    const address = { host: '127.0.0.1', port: (far.address() as AddressInfo).port, password: '' };
    await using stage = await openProxyStage(address, { sessionsLike: (plain) => entering(plain, address) });
    const authorization = `Basic ${Buffer.from(`user-ann:${testKeys.keyOf('user-ann')}`).toString('base64')}`;
    const socket = connect(stage.listener.port, '127.0.0.1');
    const head = `Host: localhost\r\nAuthorization: ${authorization}\r\nX-Buildlet-Proxy: ${name}\r\nContent-Length: 0\r\n`;
    socket.write(`POST /tcpproxy HTTP/1.1\r\n${head}X-Target-Port: 3389\r\n\r\n`);
    const [first] = (await once(socket, 'data')) as [Buffer];
    assert.equal(String(first), 'HTTP/1.1 101 Switching Protocols\r\nUpgrade: tcpproxy\r\nConnection: Upgrade\r\n\r\n');
    socket.end('ping');
    assert.equal(await text(socket), 'ping');
    assert.deepEqual(heads, ['POST /connect?port=3389 HTTP/1.1']);
    far.close();
    for (const wrong of ['', 'x', '99999']) {
      const headers = { ...proxied, 'x-target-port': wrong };
      assert.equal(await said(await ask(stage, '/tcpproxy', { method: 'POST', headers })), '400 invalid or missing X-Target-Port\n');
    }
  });

  test('a machine that is not reached is told as Go tells it', async () => {
    const nowhere = { socketPath: '/no/such/socket', password: '' };
    await using stage = await openProxyStage(nowhere, { sessionsLike: (plain) => entering(plain, nowhere) });
    const answer = await said(await ask(stage, '/workdir', { headers: proxied }));
    assert.match(answer, /^502 \(golang\.org\/issue\/28365\): gomote proxy error: /);
  });
});

/** Enters without asking the machine anything. */
function entering(plain: FakeSessions, address: BuildletAddress): FakeSessions {
  return {
    ...plain,
    enter: async () => ({
      session: fakeSession(),
      buildlet: { address } as never,
      epoch: 7,
      ground: { workDir: '/work', dir: '.', env: {}, path: [], speaks: 'croft' },
      ended: new AbortController().signal,
      [Symbol.dispose]() {},
    }),
  };
}

function linesOf(answer: Response): { next(): Promise<unknown> } {
  const reader = answer.body!.pipeThrough(new TextDecoderStream()).getReader();
  let rest = '';
  return {
    async next() {
      while (!rest.includes('\n')) {
        const { value, done } = await reader.read();
        if (done) return undefined;
        rest += value;
      }
      const [line = ''] = rest.split('\n');
      rest = rest.slice(line.length + 1);
      return JSON.parse(line) as unknown;
    },
  };
}

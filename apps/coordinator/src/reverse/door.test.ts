import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer } from 'node:http';
import { test } from 'node:test';
import { connect, type TLSSocket } from 'node:tls';
import { text } from 'node:stream/consumers';
import { createKeyPair } from '@croft/buildlet/key-pair';
import { createReverseDesk, type ReverseDesk } from '@croft/fleet/reverse-desk';
import { systemClock } from '@croft/runtime/clock';
import { silentLog } from '@croft/runtime/log';
import { systemRandom } from '@croft/runtime/random';
import { openListener } from '@croft/streams/revdial-listener';
import { requestSwitch } from '@croft/streams/revdial-switch';
import { createAttempts } from '@croft/web/attempts';
import { serve, type Listener } from '@croft/web/listener';
import { createBuilderKeys } from '../originals/builder-keys.ts';
import { createReverseDoor, type DoorDeps } from './door.ts';

const pair = await createKeyPair({ clock: systemClock, random: systemRandom });
const hostType = 'host-test';

interface Stage extends AsyncDisposable {
  readonly desk: ReverseDesk;
  readonly listener: Listener;
  readonly refused: string[];
  dial(): Promise<TLSSocket>;
  /** The whole answer to a request head. */
  ask(head: string): Promise<string>;
}

async function openStage(over: Partial<DoorDeps> = {}, { tls = true } = {}): Promise<Stage> {
  await using stack = new AsyncDisposableStack();
  const desk = createReverseDesk({ clock: systemClock, random: systemRandom, log: silentLog });
  const pool = stack.use(desk.open({ name: 'rack', known: [], spoolDir: '/nowhere' }));
  pool.declare({ hostType, labels: [], expect: 1 });
  const refused: string[] = [];
  const door = createReverseDoor({
    desk,
    keys: { lets: async (key, type) => key === 'right' && type === hostType },
    goKeys: createBuilderKeys('a master key', []),
    behindProxy: false,
    attempts: createAttempts(systemClock),
    audit: { refused: async ({ what, target }, why) => void refused.push(`${what} ${target}: ${why}`) },
    log: silentLog,
    ...over,
  });
  const options = { host: '127.0.0.1', port: 0, log: silentLog, graceMs: 50, raw: [door] };
  const listener = stack.use(
    await serve(() => new Response('page'), tls ? { ...options, tls: { cert: pair.certificate, key: pair.key } } : options),
  );
  stack.use(desk);
  const dial = async (): Promise<TLSSocket> => {
    const socket = connect({ host: '127.0.0.1', port: listener.port, rejectUnauthorized: false });
    await once(socket, 'secureConnect');
    return socket;
  };
  const owned = stack.move();
  return {
    desk,
    listener,
    refused,
    dial,
    async ask(head) {
      const socket = await dial();
      socket.write(head.replace('\r\n\r\n', '\r\nConnection: close\r\n\r\n'));
      return text(socket);
    },
    [Symbol.asyncDispose]: () => owned.disposeAsync(),
  };
}

const all: Record<string, string> = {
  'X-Revdial-Version': '2',
  'X-Go-Builder-Hostname': 'mini01',
  'X-Go-Host-Type': hostType,
  'X-Go-Builder-Version': '25',
  'X-Go-Builder-Key': 'right',
};

function headOf(over: Record<string, string | undefined> = {}, path = '/reverse'): string {
  const lines = Object.entries({ ...all, ...over }).flatMap(([name, value]) => (value === undefined ? [] : [`${name}: ${value}`]));
  return `GET ${path} HTTP/1.1\r\nHost: \r\n${lines.join('\r\n')}\r\n\r\n`;
}

/** Status and body, as Go's buildlets print them. */
function said(answer: string): string {
  const [head = '', body = ''] = answer.split('\r\n\r\n');
  return `${head.split(' ')[1]} ${body.trim()}`;
}

test("what is wrong with a registration is said in Go's words and order (2.5)", async () => {
  await using stage = await openStage();
  const none = Object.fromEntries(Object.keys(all).map((name) => [name, undefined]));
  const cases: [Record<string, string | undefined>, string][] = [
    [none, '400 buildlet binary is too old'],
    [{ ...none, 'X-Revdial-Version': '1' }, '400 unknown revdial version'],
    [{ ...none, 'X-Revdial-Version': '2' }, '400 missing X-Go-Builder-Hostname header'],
    [{ 'X-Go-Host-Type': undefined, 'X-Go-Builder-Key': undefined }, '400 missing X-Go-Host-Type; old buildlet binary?'],
    [{ 'X-Go-Builder-Key': undefined }, '412 invalid build key'],
    [{ 'X-Go-Builder-Key': 'wrong', 'X-Go-Host-Type': 'host-other' }, '412 invalid build key'],
    [{ 'X-Go-Builder-Version': '22' }, '409 version 22 of the buildlet is too old; 23 or newer is needed'],
    [{ 'Croft-Boot': 'a b' }, '400 Croft-Boot is no boot'],
    [{ Origin: 'https://elsewhere.example' }, '403 not for web pages'],
  ];
  for (const [over, expected] of cases) assert.equal(said(await stage.ask(headOf(over))), expected);
  assert.match(await stage.ask(headOf(none)), /^HTTP\/1\.1 400 Bad Request\r\n/);
  assert.deepEqual(stage.refused.slice(0, 2), ['machine.join host-test: wrong key', 'machine.join host-other: wrong key']);
});

test('a buildlet of 2017 is refused: it sends no revdial version, and repeats its keys', async () => {
  await using stage = await openStage();
  const head =
    'GET /reverse HTTP/1.1\r\nHost: \r\nX-Go-Builder-Key: a\r\nX-Go-Builder-Key: b\r\nX-Go-Builder-Type: x\r\nX-Go-Builder-Type: y\r\n\r\n';
  assert.equal(said(await stage.ask(head)), '400 buildlet binary is too old');
});

test('a picked-up connection of no line is refused (2.4)', async () => {
  await using stage = await openStage();
  for (const query of ['', '?revdial.dialer=', '?revdial.dialer=0123456789abcdef0123456789abcdef&conn=1']) {
    assert.equal(said(await stage.ask(headOf({}, `/revdial${query}`))), '400 unknown dialer');
  }
  const answer = await stage.ask(headOf().replace('GET /reverse', 'POST /revdial'));
  assert.match(answer, /^HTTP\/1\.1 405 .*\r\nallow: GET\r\n/is);
  assert.equal(said(answer), '405 expected GET request to revdial conn handler');
});

test('without TLS nobody is let in, unless a proxy in front ends it', async () => {
  await using plain = await openStage({}, { tls: false });
  const get = async (url: string, path: string): Promise<string> => {
    const answer = await fetch(`${url}${path}`, { headers: all });
    return `${answer.status} ${(await answer.text()).trim()}`;
  };
  assert.equal(await get(plain.listener.url, '/reverse'), '500 buildlet registration requires SSL');
  assert.equal(await get(plain.listener.url, '/revdial'), '500 handler requires TLS');
});

test("Go's keys count for their host type, and an empty key never", async () => {
  const goKeys = createBuilderKeys('a master key', ['host-revoked']);
  await using stage = await openStage({ goKeys, keys: { lets: async () => false } });
  await using socket = await stage.dial();
  const headers = { ...all, 'X-Go-Builder-Key': goKeys.keyOf(hostType) };
  const answer = await requestSwitch(socket, { path: '/reverse', headers }, {});
  assert.equal(answer.get('croft-revdial'), '1');
  const wrong = [goKeys.keyOf('host-other'), 'a master key', '', createBuilderKeys('', []).keyOf(hostType)];
  for (const key of wrong)
    assert.equal(said(await stage.ask(headOf({ 'X-Go-Builder-Key': key, 'X-Go-Builder-Hostname': 'b' }))), '412 invalid build key');
});

test('who shows wrong keys again and again has to wait, also with the right one', async () => {
  await using stage = await openStage();
  for (let tries = 0; tries < 10; tries += 1) await stage.ask(headOf({ 'X-Go-Builder-Key': `guess ${tries}` }));
  assert.equal(said(await stage.ask(headOf())), '429 too many wrong keys from here, wait some minutes');
});

test('a machine of a host type that no pool has is told so, once its key is right', async () => {
  await using stage = await openStage({ keys: { lets: async () => true } });
  assert.equal(
    said(await stage.ask(headOf({ 'X-Go-Host-Type': 'host-other' }))),
    '409 no pool of this farm takes machines of the host type "host-other" that dial in',
  );
});

/** A whole machine over real TLS: what it serves is reached through the pool. */
async function attach(stage: Stage, onAsked: (path: string) => void): Promise<AsyncDisposable> {
  const server = createServer(({ url = '' }, response) => {
    onAsked(url);
    response.end(JSON.stringify({ Version: 25 }));
  });
  const control = await stage.dial();
  await requestSwitch(control, { path: '/reverse', headers: all }, {});
  const listener = openListener(control, {
    peer: 'go',
    clock: systemClock,
    async dial(path) {
      const socket = await stage.dial();
      await requestSwitch(socket, { path }, {});
      return socket;
    },
  });
  void (async () => {
    for (;;) {
      const socket = await listener.accept();
      server.emit('connection', socket);
      socket.resume();
    }
  })().catch(() => undefined);
  return listener;
}

test('a machine is let in, asked for its status over a connection that it fetches, and goes with its line', async () => {
  await using stage = await openStage();
  const asked = Promise.withResolvers<string>();
  await using stack = new AsyncDisposableStack();
  const pool = stack.use(stage.desk.open({ name: 'other', known: [], spoolDir: '/nowhere' }));
  pool.declare({ hostType: 'host-b', labels: [], expect: 1 });
  stack.use(await attach(stage, asked.resolve));
  assert.equal(await asked.promise, '/status');
});

test('a line that sends garbage, and one that says nothing, harm nobody', async () => {
  await using stage = await openStage();
  const garbage = await stage.dial();
  await requestSwitch(garbage, { path: '/reverse', headers: { ...all, 'Croft-Boot': 'x' } }, {});
  const cut = new Promise((closed) => garbage.on('error', () => undefined).once('close', closed));
  garbage.resume().write(Buffer.alloc(100_000, 0x41));
  await cut;
  const silent = await stage.dial();
  await requestSwitch(silent, { path: '/reverse', headers: { ...all, 'X-Go-Builder-Hostname': 'quiet', 'Croft-Boot': 'y' } }, {});
  await using other = await attach(stage, () => undefined);
  assert.ok(other);
  silent.destroy();
});

test('many requests for pick-ups that nobody waits for are each refused, over one connection', async () => {
  await using stage = await openStage();
  await using socket = await stage.dial();
  const answers = socket[Symbol.asyncIterator]();
  const head = `GET /revdial?revdial.dialer=${'0'.repeat(32)}&conn=1 HTTP/1.1\r\nHost: \r\n\r\n`;
  for (let count = 0; count < 2_000; count += 1) {
    socket.write(head);
    let answer = '';
    while (!answer.endsWith('unknown dialer\n')) answer += String((await answers.next()).value);
  }
});

/** A page's terminal over real sockets to a shell on a real buildlet. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { request, type IncomingMessage } from 'node:http';
import { connect, type Socket } from 'node:net';
import { json } from 'node:stream/consumers';
import { test } from 'node:test';
import { createBuildlet, type Buildlet } from '@croft/buildlet/client';
import { startTestBuildlet } from '@croft/buildlet/testing';
import { terminalNoticeSchema, terminalWindowBytes, type TerminalNotice, type TerminalRequest } from '@croft/protocol/terminal';
import { systemClock } from '@croft/runtime/clock';
import { silentLog } from '@croft/runtime/log';
import { systemRandom } from '@croft/runtime/random';
import { createBell } from '@croft/runtime/tasks';
import { serve } from '@croft/web/listener';
import { openTestApp, type TestApp } from '../routes/testing.ts';
import { createShells } from '../sessions/shells.ts';
import { withPlainShells } from '../sessions/testing-shells.ts';
import { fakeSession, fakeSessions, type FakeSessions } from '../sessions/testing.ts';
import { createTerminalDoor } from './terminal-door.ts';

interface Stage extends AsyncDisposable {
  readonly app: TestApp;
  readonly port: number;
  readonly sessions: FakeSessions;
  readonly buildlet: Buildlet;
}

async function openStage(): Promise<Stage> {
  await using stack = new AsyncDisposableStack();
  const machine = stack.use(await startTestBuildlet());
  const buildlet = withPlainShells(stack.use(createBuildlet(machine.address, { clock: systemClock })));
  const sessions = fakeSessions({ buildlet, ground: { dir: '.', env: { PS1: '$ ' } } });
  const app = stack.use(await openTestApp());
  sessions.put(fakeSession({ owner: 'local', alias: 'local-linux-0' }));
  const base = { clock: systemClock, random: systemRandom, log: silentLog };
  const shells = createShells({ ...base, audit: app.auth.audit });
  const door = createTerminalDoor({ ...base, auth: app.auth, sessions, shells, behindProxy: false, publicNames: [] });
  const { port } = stack.use(
    await serve(() => new Response('page'), { host: '127.0.0.1', port: 0, log: silentLog, raw: [door], graceMs: 200 }),
  );
  const owned = stack.move();
  return { app, port, sessions, buildlet, [Symbol.asyncDispose]: () => owned.disposeAsync() };
}

interface Terminal extends AsyncDisposable {
  readonly notices: TerminalNotice[];
  shown: string;
  /** Of the output, all that came. */
  bytes: number;
  type(text: string): void;
  say(request: TerminalRequest): void;
  sayText(text: string): void;
  /** Acknowledges what comes as a page does. */
  reads: boolean;
  shows(text: string | RegExp): Promise<void>;
  notice<Kind extends TerminalNotice['kind']>(kind: Kind): Promise<Extract<TerminalNotice, { kind: Kind }>>;
  readonly closed: Promise<number>;
}

async function openTerminal({ port }: Pick<Stage, 'port'>, query = '', session = 'S00000000000000a1'): Promise<Terminal> {
  const headers = { origin: `http://127.0.0.1:${port}` };
  const socket = new WebSocket(`ws://127.0.0.1:${port}/api/v1/sessions/${session}/terminal?${query}`, { headers } as never); // Node's takes them
  socket.binaryType = 'arraybuffer';
  const bell = createBell();
  const notices: TerminalNotice[] = [];
  const closed = once(socket, 'close').then(([event]) => (event as CloseEvent).code);
  let at = 0;
  const until = async <T>(what: string, found: () => T | undefined): Promise<T> => {
    const signal = systemClock.deadline(20_000);
    for (;;) {
      const one = found();
      if (one !== undefined) return one;
      await bell
        .wait({ signal })
        .catch(() => assert.fail(`waited for ${what}; there is ${JSON.stringify(terminal.shown)} ${JSON.stringify(notices)}`));
    }
  };
  const terminal: Terminal = {
    notices,
    shown: '',
    bytes: 0,
    reads: true,
    type: (text) => socket.send(Buffer.from(text)),
    say: (said) => socket.send(JSON.stringify(said)),
    sayText: (text) => socket.send(text),
    shows: (text) =>
      until(String(text), () => (typeof text === 'string' ? terminal.shown.includes(text) : text.test(terminal.shown)) || undefined).then(
        () => undefined,
      ),
    notice: (kind) => until(kind, () => notices.find((one) => one.kind === kind)) as Promise<never>,
    closed,
    async [Symbol.asyncDispose]() {
      socket.close();
      await closed;
    },
  };
  socket.addEventListener('message', ({ data }: MessageEvent<string | ArrayBuffer>) => {
    if (typeof data === 'string') {
      const notice = terminalNoticeSchema.parse(JSON.parse(data));
      notices.push(notice);
      if (notice.kind === 'attached' || notice.kind === 'gap') at = notice.from;
    } else {
      terminal.shown += Buffer.from(data).toString();
      terminal.bytes += data.byteLength;
      at += data.byteLength;
      if (terminal.reads) terminal.say({ kind: 'seen', upTo: at });
    }
    bell.ring();
  });
  await once(socket, 'open', { signal: systemClock.deadline(10_000) });
  return terminal;
}

test('what is typed is echoed and carried out, in a terminal of the page’s size that follows it', async () => {
  await using stage = await openStage();
  await using terminal = await openTerminal(stage, 'cols=100&rows=30');
  assert.equal((await terminal.notice('attached')).fresh, true);
  terminal.type('stty size\n');
  await terminal.shows('30 100');
  terminal.say({ kind: 'size', cols: 132, rows: 43 });
  terminal.type('stty size\n');
  await terminal.shows('43 132');
  assert.deepEqual(await stage.app.audited(), [`local: session.shell S00000000000000a1/${(await terminal.notice('attached')).run}`]);
});

test('a page that comes back with where it was sees what it missed and nothing twice', async () => {
  await using stage = await openStage();
  const lost = await openTerminal(stage);
  lost.type('echo on"e"; sleep 0.2; echo tw"o"\n');
  await lost.shows('one');
  const { run } = await lost.notice('attached');
  await lost[Symbol.asyncDispose]();
  await using back = await openTerminal(stage, `run=${run}&from=${lost.bytes}`);
  await back.shows('two');
  assert.doesNotMatch(back.shown.slice(0, back.shown.indexOf('two')), /one\r\n/);
  assert.equal((await back.notice('attached')).from, lost.bytes);
  back.type('exit 7\n');
  assert.deepEqual((await back.notice('ended')).exit, { kind: 'exited', code: 7 });
  assert.equal(await back.closed, 1000);
});

test('a page that does not read is sent a window and no more, the shell goes on, and then all of it comes', async () => {
  await using stage = await openStage();
  await using terminal = await openTerminal(stage);
  await terminal.notice('taken');
  terminal.reads = false;
  terminal.type('yes 0123456789 | head -c 3000000; touch do"n"e; echo al"l"\n');
  const { run } = await terminal.notice('attached');
  for (;;) {
    const now = await stage.buildlet.run(`S00000000000000a1.${run}` as never, {});
    if (typeof now === 'object' && now.output.length > 3_000_000) break;
    await systemClock.sleep(10);
  }
  assert.ok(terminal.bytes <= 2 * terminalWindowBytes, `${terminal.bytes} bytes were sent`);
  terminal.reads = true;
  terminal.say({ kind: 'seen', upTo: terminal.bytes });
  await terminal.shows(/all\r\n/);
  assert.ok(terminal.bytes > 3_000_000);
});

test('a page that claims to have seen all and reads nothing does not fill the memory, nor does one that types and reads nothing', async () => {
  await using stage = await openStage();
  const line = await dialRaw(stage.port);
  const said = [{ kind: 'seen', upTo: Number.MAX_SAFE_INTEGER }].map((one) => masked(1, Buffer.from(JSON.stringify(one))));
  const before = process.memoryUsage().arrayBuffers;
  line.write(Buffer.concat([masked(2, Buffer.from('yes 0123456789 | head -c 60000000; sleep 600\n')), ...said]));
  const [run] = await runningShells(stage, 60_000_000);
  assert.ok(run);
  for (let sent = 0; sent < 200 && !line.destroyed; sent += 1)
    line.write(Buffer.concat(Array.from({ length: 500 }, () => masked(1, Buffer.from('{"kind":"seen","upTo":60000000}')))));
  const held = process.memoryUsage().arrayBuffers - before;
  assert.ok(held < 20_000_000, `${held} bytes are held`);
  line.destroy();
});

test('a large paste arrives whole', async () => {
  await using stage = await openStage();
  await using terminal = await openTerminal(stage);
  terminal.type('stty -icanon -echo; head -c 500000 | cksum; stty sane\n');
  await terminal.shows('cksum');
  const text = 'abcdefghi\n'.repeat(50_000);
  for (let at = 0; at < text.length; at += 16_384) terminal.type(text.slice(at, at + 16_384));
  await terminal.shows(/\d+ 500000/);
});

test('closing the terminal for good ends its shell', async () => {
  await using stage = await openStage();
  await using terminal = await openTerminal(stage);
  await terminal.shows('$');
  terminal.say({ kind: 'hang-up' });
  const { exit } = await terminal.notice('ended');
  assert.ok(exit.kind === 'signalled' || exit.kind === 'exited' || exit.kind === 'killed', JSON.stringify(exit));
});

test('when the session ends the page is told why', async () => {
  await using stage = await openStage();
  await using terminal = await openTerminal(stage);
  await terminal.shows('$');
  await stage.sessions.end({ name: 'local', role: 'admin', repos: [] }, 'S00000000000000a1', 'the evening has come');
  assert.match((await terminal.notice('refused')).message, /the evening has come/);
  assert.equal(await terminal.closed, 4000);
});

test('a session that is not there, waits, or is somebody else’s is refused in words', async () => {
  await using stage = await openStage();
  stage.sessions.put(fakeSession({ id: 'S00000000000000b2', alias: 'bob-linux-0', owner: 'bob' }));
  stage.sessions.put(fakeSession({ id: 'S00000000000000c3', alias: 'local-linux-1', owner: 'local', state: 'waiting' }));
  const cases = [
    ['S00000000000000ff', 'not-found'],
    ['bob-linux-0', 'forbidden'],
    ['local-linux-1', 'conflict'],
  ] as const;
  for (const [session, code] of cases) {
    await using terminal = await openTerminal(stage, '', session);
    assert.equal((await terminal.notice('refused')).code, code);
  }
});

const broken: readonly (readonly [string, string])[] = [
  ['no JSON', '{'],
  ['an unknown kind', '{"kind":"exec","argv":["id"]}'],
  ['a size beyond all terminals', '{"kind":"size","cols":100000,"rows":1}'],
  ['an offset below nothing', '{"kind":"seen","upTo":-1}'],
  ['further fields', '{"kind":"hang-up","now":true}'],
];

for (const [what, said] of broken)
  test(`a page that says ${what} is cut off, and its shell goes on`, async () => {
    await using stage = await openStage();
    await using terminal = await openTerminal(stage);
    await terminal.shows('$');
    terminal.sayText(said);
    assert.equal(await terminal.closed, 1008);
    await using back = await openTerminal(stage);
    assert.equal((await back.notice('attached')).fresh, false);
  });

/** The answer of HTTP to a handshake. */
async function refusal(port: number, path: string, headers: Record<string, string>): Promise<{ status: number; message: string }> {
  const asked = {
    connection: 'Upgrade',
    upgrade: 'websocket',
    'sec-websocket-version': '13',
    'sec-websocket-key': 'dGhlIHNhbXBsZSBub25jZQ==',
  };
  const outgoing = request({ host: '127.0.0.1', port, path, headers: { ...asked, ...headers } });
  outgoing.end();
  const [incoming] = (await once(outgoing, 'response', { signal: systemClock.deadline(10_000) })) as [IncomingMessage];
  const { message = '' } = (await json(incoming)) as { message?: string };
  return { status: incoming.statusCode ?? 0, message };
}

const path = '/api/v1/sessions/S00000000000000a1/terminal';

test('a handshake from a foreign page, from none, under a foreign name or by somebody who may not is refused before anything is entered', async () => {
  await using stage = await openStage();
  const { app, port, sessions } = stage;
  const origin = `http://127.0.0.1:${port}`;
  const viewer = await app.as('viewer');
  const cases: readonly (readonly [Record<string, string>, number, RegExp])[] = [
    [{ origin: 'http://evil.example' }, 403, /comes from another page/],
    [{ origin: `http://127.0.0.1:${port + 1}` }, 403, /comes from another page/],
    [{ origin: 'null' }, 403, /comes from another page/],
    [{ origin, 'sec-fetch-site': 'cross-site' }, 403, /comes from another page/],
    [{}, 403, /must come from a page of this farm/],
    [{ origin: 'http://evil.example', host: 'evil.example' }, 403, /is not called/],
    [{ origin, ...viewer }, 403, /needs the role developer/],
    [{ origin, authorization: 'Bearer croft_wrong' }, 401, /not known here/],
  ];
  for (const [headers, status, message] of cases) {
    const answer = await refusal(port, path, headers);
    assert.equal(answer.status, status, JSON.stringify(headers));
    assert.match(answer.message, message);
  }
  assert.equal((await refusal(port, `${path}?cols=0`, { origin })).status, 400);
  assert.equal(sessions.entered.size, 0);
  const audited = (await app.audited()).filter((line) => line.includes('session.shell refused'));
  assert.equal(audited.length, cases.length);
});

/** A client that never reads. */
async function dialRaw(port: number): Promise<Socket> {
  const socket = connect(port, '127.0.0.1');
  socket.on('error', () => undefined);
  const head = [
    `GET ${path}?run=new HTTP/1.1`,
    'Host: 127.0.0.1',
    `Origin: http://127.0.0.1:${port}`,
    'Connection: Upgrade',
    'Upgrade: websocket',
    'Sec-WebSocket-Version: 13',
    'Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==',
  ];
  socket.write(`${head.join('\r\n').replace('127.0.0.1\r\nOrigin', `127.0.0.1:${port}\r\nOrigin`)}\r\n\r\n`);
  await once(socket, 'readable', { signal: systemClock.deadline(10_000) });
  return socket;
}

/** A frame of less than 126 bytes. */
function masked(opcode: number, content: Buffer): Buffer {
  return Buffer.concat([Buffer.from([0x80 | opcode, 0x80 | content.length, 0, 0, 0, 0]), content]);
}

/** Of which the buildlet has so much output. */
async function runningShells({ buildlet }: Stage, bytes: number): Promise<string[]> {
  const signal = systemClock.deadline(60_000);
  for (;;) {
    const runs = (await buildlet.runs({ signal })).filter(({ output }) => output.length >= bytes);
    if (runs.length > 0) return runs.map(({ id }) => id);
    await systemClock.sleep(20, { signal });
  }
}

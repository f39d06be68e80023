/** A buildlet that is reached over connections which somebody else gives: sockets and streams that are none. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer, type RequestListener } from 'node:http';
import { connect } from 'node:net';
import { duplexPair, type Duplex } from 'node:stream';
import { test } from 'node:test';
import { parseRunId } from '@croft/domain/names';
import { systemClock } from '@croft/runtime/clock';
import { CroftError, isCode } from '@croft/runtime/errors';
import { FakeClock } from '@croft/runtime/testing';
import { createBuildlet, type Buildlet } from './client.ts';
import { startTestBuildlet } from './testing.ts';

const id = parseRunId('a.1.test');
const unavailable = (error: unknown): boolean => isCode(error, 'unavailable');

interface Dialled extends AsyncDisposable {
  readonly client: Buildlet;
  /** The server's ends, in the order in which they were asked for; and the client's. */
  readonly ends: Duplex[];
  readonly given: Duplex[];
}

/** @param turns of the event loop until a write of the client's is told to have gone out */
function dialled(answer: RequestListener, turns = 0): Dialled {
  const server = createServer({ keepAliveTimeout: 0 }, answer);
  const ends: Duplex[] = [];
  const given: Duplex[] = [];
  const dial = async (): Promise<Duplex> => {
    const [ours, theirs] = duplexPair();
    const { _write: write } = ours;
    ours._write = (bytes, encoding, done) => write.call(ours, bytes, encoding, (error) => void later(turns, () => done(error)));
    ends.push(theirs);
    given.push(ours);
    server.emit('connection', theirs);
    return ours;
  };
  const client = createBuildlet({ dial, name: 'mac-7', password: '' }, { clock: systemClock });
  return { client, ends, given, [Symbol.asyncDispose]: () => client[Symbol.asyncDispose]() };
}

async function later(turns: number, act: () => void): Promise<void> {
  for (let left = turns; left > 0; left -= 1) await new Promise(setImmediate);
  act();
}

test('requests go over one connection after the other has ended, and tell the machine its name', async () => {
  const hosts = new Set<string | undefined>();
  await using machine = dialled((request, response) => {
    hosts.add(request.headers.host);
    response.end('/work');
  });
  for (let n = 0; n < 5; n += 1) assert.equal(await machine.client.workDir({}), '/work');
  assert.equal(machine.ends.length, 1);
  await Promise.all(Array.from({ length: 5 }, () => machine.client.workDir({})));
  assert.equal(machine.ends.length, 5, 'those that are asked at once take more, and what is there first');
  assert.deepEqual([...hosts], ['mac-7']);
});

test('an upload that is answered before its end is told to have gone out leaves its connection to the next one', async () => {
  const answer: RequestListener = (request, response) => void request.resume().once('end', () => response.end('{"length":3}'));
  await using machine = dialled(answer, 20);
  for (let n = 0; n < 3; n += 1) {
    assert.equal(await machine.client.writeStdin(id, { from: 0, content: Buffer.from('abc') }, 1, {}), 3);
    await later(50, () => undefined);
  }
  assert.equal(machine.ends.length, 1);
});

test('a connection that died while it was idle, or as it was taken, is replaced', async () => {
  let dying = false;
  await using machine = dialled((request, response) => {
    if (dying) request.socket.destroy();
    else response.end('/work');
    dying = false;
  });
  await machine.client.workDir({});
  machine.ends[0]?.destroy();
  assert.equal(await machine.client.workDir({}), '/work');
  assert.equal(machine.ends.length, 2);
  dying = true;
  assert.equal(await machine.client.workDir({}), '/work');
  assert.equal(machine.ends.length, 3);
});

test('a fresh connection that dies is a failure', async () => {
  await using machine = dialled((request) => request.socket.destroy());
  await assert.rejects(machine.client.workDir({}), unavailable);
  assert.equal(machine.ends.length, 1);
});

test('output goes over the connections that are kept, whole or not at all', async () => {
  const answers: Record<string, RequestListener> = {
    whole: (_, response) => {
      response.write('half');
      setImmediate(() => response.end(' and half'));
    },
    cut: (request, response) => response.write('half', () => request.socket.destroy()),
    endless: (request) => request.socket.end('HTTP/1.1 200 OK\r\n\r\nhalf'),
  };
  let answer = answers['whole'];
  await using machine = dialled((request, response) => answer?.(request, response));
  const read = async (): Promise<string> => (await Array.fromAsync(machine.client.output(id, 0, {}), String)).join('');
  for (let times = 0; times < 3; times += 1) assert.equal(await read(), 'half and half');
  assert.equal(machine.ends.length, 1);
  for (const name of ['cut', 'endless']) {
    answer = answers[name];
    await assert.rejects(read(), unavailable, name);
  }
});

test('output that nobody wants any more ends its connection', async () => {
  await using machine = dialled((_, response) => response.write('half'));
  const cancel = new AbortController();
  await assert.rejects(async () => {
    for await (const _ of machine.client.output(id, 0, { signal: cancel.signal })) cancel.abort(new CroftError('cancelled', 'enough'));
  }, /enough/);
  assert.ok(machine.given[0]?.destroyed);
  for await (const _ of machine.client.output(id, 0, {})) break;
  assert.ok(machine.given[1]?.destroyed);
});

test('a dial that fails, or never comes to an end, is told as the machine’s', async () => {
  const refuse = (): Promise<Duplex> => Promise.reject(new Error('the line is gone'));
  await using refused = createBuildlet({ dial: refuse, name: 'mac-7', password: '' }, { clock: systemClock });
  await assert.rejects(refused.status({}), /buildlet at mac-7 cannot be reached: the line is gone/);
  await assert.rejects(Array.fromAsync(refused.output(id, 0, {})), /the line is gone/);
  const clock = new FakeClock();
  const never = ({ signal }: { signal: AbortSignal }): Promise<Duplex> => once(signal, 'abort').then(() => Promise.reject(signal.reason));
  await using silent = createBuildlet({ dial: never, password: '' }, { clock });
  const waiting = assert.rejects(silent.status({}), (error) => isCode(error, 'timeout') || unavailable(error));
  await clock.advance(30_000);
  await waiting;
});

test('a real buildlet works over dialled sockets', async () => {
  await using machine = await startTestBuildlet();
  const { socketPath = '', password } = machine.address;
  const dial = async (): Promise<Duplex> => {
    const socket = connect(socketPath);
    await once(socket, 'connect');
    return socket;
  };
  await using client = createBuildlet({ dial, name: 'localhost', password }, { clock: systemClock });
  await client.startOrAttach(id, { argv: ['echo', 'hello'], dir: '.', env: {}, limitMs: 60_000, outputLimitBytes: 1_000 }, 1, {});
  assert.equal(Buffer.concat(await Array.fromAsync(client.output(id, 0, {}), (piece) => Buffer.from(piece))).toString(), 'hello\n');
  assert.equal((await client.run(id, { waitMs: 10_000 })) === 'unknown', false);
});

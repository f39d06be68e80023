import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer } from 'node:http';
import { createServer as createTcpServer, type AddressInfo, type Socket } from 'node:net';
import { test } from 'node:test';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { SECOND, systemClock } from '@croft/runtime/clock';
import { createBell } from '@croft/runtime/tasks';
import { FakeClock } from '@croft/runtime/testing';
import { createExchange } from './exchange.ts';
import type { Feed } from './upload.ts';

test('an upload that goes on for long keeps nothing of what it has sent', async () => {
  await using server = createServer(async (request, response) => {
    await once(request.resume(), 'end');
    response.end('taken');
  }).listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  using exchange = createExchange({ host: '127.0.0.1', port, password: '' }, systemClock);
  setFlagsFromString('--expose-gc');
  const collect = runInNewContext('gc') as () => void;
  const heapUsed = (): number => {
    collect();
    return process.memoryUsage().heapUsed;
  };
  let kept = NaN;
  const content = async function* (): AsyncGenerator<Uint8Array> {
    const pieces = async function* (): AsyncGenerator<Uint8Array> {
      for (let count = 0; count < 8_000; count += 1) yield Buffer.from('key');
    };
    yield* pieces(); // what is made once is made before
    const before = heapUsed();
    yield* pieces();
    kept = heapUsed() - before;
  };
  const question = { doing: 'type', method: 'PUT', path: '/', body: { type: 'text/plain', content: content() } };
  const { text } = await exchange.ask(question, 10, { signal: systemClock.deadline(20 * SECOND) });
  assert.equal(text, 'taken');
  assert.ok(kept < 2_500_000, `${kept} bytes are kept of 8,000 pieces while the answer is waited for`);
});

/** More than fits between two ends of a connection. */
const large = { doing: 'send', method: 'PUT', path: '/', body: { type: 'text/plain', content: 'x'.repeat(64 * 1024 * 1024) } };
const small = { doing: 'ask', method: 'GET', path: '/' };

/** Answers each first piece that it reads, and then reads nothing until it is told to. */
async function hasty(): Promise<AsyncDisposable & { readonly port: number; readonly sockets: Socket[] }> {
  const sockets: Socket[] = [];
  const server = createTcpServer((socket) => {
    sockets.push(socket.on('error', () => undefined));
    socket.once('data', () => void socket.pause().write('HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok'));
  }).listen(0, '127.0.0.1');
  await once(server, 'listening');
  return {
    port: (server.address() as AddressInfo).port,
    sockets,
    async [Symbol.asyncDispose]() {
      for (const socket of sockets) socket.destroy();
      server.close();
    },
  };
}

test('an upload that is answered before all of it is sent holds its connection for a while and no longer', async () => {
  await using server = await hasty();
  const clock = new FakeClock();
  using exchange = createExchange({ host: '127.0.0.1', port: server.port, password: '' }, clock);
  assert.equal((await exchange.ask(large, 10, {})).text, 'ok');
  await clock.advance(6 * SECOND);
  const [socket = assert.fail('no connection')] = server.sockets;
  await once(socket.resume(), 'close', { signal: systemClock.deadline(10 * SECOND) });
  assert.ok(socket.bytesRead < large.body.content.length, 'the rest was sent all the same');
});

test('an upload whose rest is sent soon after its answer leaves its connection to the next request', async () => {
  await using server = await hasty();
  const clock = new FakeClock();
  using exchange = createExchange({ host: '127.0.0.1', port: server.port, password: '' }, clock);
  assert.equal((await exchange.ask(large, 10, {})).text, 'ok');
  const [socket = assert.fail('no connection')] = server.sockets;
  const isRead = Promise.withResolvers<void>();
  socket.on('data', () => void (socket.bytesRead > large.body.content.length && isRead.resolve())).resume();
  await isRead.promise;
  await clock.advance(6 * SECOND);
  socket.once('data', () => void socket.write('HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\ntoo'));
  assert.equal((await exchange.ask(small, 10, { signal: systemClock.deadline(10 * SECOND) })).text, 'too');
  assert.equal(server.sockets.length, 1);
});

interface Fed {
  readonly feed: Feed;
  readonly state: { asked: number; isSent: boolean };
  give(piece: Uint8Array | 'end'): void;
}

function createFeed(): Fed {
  const fresh: Uint8Array[] = [];
  const state = { asked: 0, isSent: false };
  let isOver = false;
  let changed = (): void => undefined;
  return {
    state,
    feed: {
      next() {
        state.asked += 1;
        return fresh.length === 0 && isOver ? undefined : fresh.splice(0);
      },
      listen: (act) => void (changed = act),
      sent: () => void (state.isSent = true),
    },
    give(piece) {
      if (piece === 'end') isOver = true;
      else fresh.push(piece);
      changed();
    },
  };
}

const fedQuestion = (feed: Feed) => ({ doing: 'type', method: 'PUT', path: '/', body: { type: 'text/plain', content: feed } });

test('what is fed goes out as it comes, no faster than it is read, and its end is told when all has gone', async () => {
  const come = createBell();
  let text = '';
  await using server = createServer(async (request, response) => {
    for await (const piece of request as AsyncIterable<Buffer>) {
      text += piece.toString();
      come.ring();
    }
    response.end('taken');
  }).listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  using exchange = createExchange({ host: '127.0.0.1', port, password: '' }, systemClock);
  const { feed, state, give } = createFeed();
  const asking = exchange.ask(fedQuestion(feed), 10, { signal: systemClock.deadline(20 * SECOND) });
  let sent = '';
  for (const piece of ['l', 's', 'x'.repeat(5_000_000), '\n']) {
    sent += piece;
    give(Buffer.from(piece));
    while (text !== sent) await come.wait({});
    assert.equal(state.isSent, false);
  }
  give('end');
  assert.equal((await asking).text, 'taken');
  assert.equal(state.isSent, true);
  const { asked } = state;
  give(Buffer.from('too late'));
  assert.equal(state.asked, asked);
});

test('nothing more is fed to a request that was answered, and what had not gone is not said to have', async () => {
  await using server = await hasty();
  using exchange = createExchange({ host: '127.0.0.1', port: server.port, password: '' }, systemClock);
  const { feed, state, give } = createFeed();
  give(Buffer.from('x'));
  assert.equal((await exchange.ask(fedQuestion(feed), 10, { signal: systemClock.deadline(20 * SECOND) })).text, 'ok');
  const { asked } = state;
  give(Buffer.from('y'));
  give('end');
  assert.deepEqual([state.asked, state.isSent], [asked, false]);
});

/** Connections of other bytes than HTTP, with each way ending by itself: to ports of the machine, and from those who come to a listener there. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { stat, symlink } from 'node:fs/promises';
import { connect, createServer, type AddressInfo, type Server, type Socket } from 'node:net';
import { dirname, join } from 'node:path';
import type { Duplex } from 'node:stream';
import { after, before, test } from 'node:test';
import { systemClock } from '@croft/runtime/clock';
import { isCode } from '@croft/runtime/errors';
import { ask, startMachine, until, withCode, type TestMachine } from '../testing.ts';

const waits = { signal: systemClock.deadline(100_000) };
let machine: TestMachine;
before(async () => void (machine = await startMachine()));
after(() => machine[Symbol.asyncDispose]());

async function serving(onConnection: (socket: Socket) => void, host = '127.0.0.1'): Promise<Server & AsyncDisposable & { port: number }> {
  const sockets = new Set<Socket>();
  const server = createServer({ allowHalfOpen: true }, (socket) => {
    sockets.add(socket);
    onConnection(socket.on('error', () => {}));
  });
  await once(server.listen(0, host), 'listening');
  const close = async (): Promise<void> => {
    for (const socket of sockets) socket.destroy();
    server.close();
  };
  return Object.assign(server, { port: (server.address() as AddressInfo).port, [Symbol.asyncDispose]: close });
}

/** To its end, which leaves the other way open. */
async function text(stream: Duplex): Promise<string> {
  const pieces: Buffer[] = [];
  stream.on('data', (piece: Buffer) => pieces.push(piece));
  await once(stream, 'end');
  return Buffer.concat(pieces).toString();
}

async function nextOf<T>(values: AsyncIterator<T>): Promise<T> {
  const next = await values.next();
  return next.done ? assert.fail('there are no more') : next.value;
}

test('bytes go both ways, and whoever has said all may still listen', async () => {
  await using server = await serving((socket) => {
    void text(socket).then((asked) => socket.end(`heard ${asked.length}`)); // only once the client has said its last
  });
  const line = await machine.client.connect(server.port, 1, waits);
  const sent = Buffer.alloc(3_000_000, 'x');
  line.end(sent);
  assert.equal(await text(line), 'heard 3000000');
});

test('a server that has said all is still told what comes', async () => {
  const heard = Promise.withResolvers<string>();
  await using server = await serving((socket) => {
    socket.end('bye');
    void text(socket).then(heard.resolve);
  });
  const line = await machine.client.connect(server.port, 1, waits);
  assert.equal(await text(line), 'bye');
  line.end('and good night');
  assert.equal(await heard.promise, 'and good night');
});

test('sockets below the work directory or the temporary one are reached and made, and no others', async () => {
  const path = join(machine.process.workDir, 'made');
  const listening = await machine.client.listen({ kind: 'unix', path: 'made' }, 1, waits);
  assert.deepEqual(listening.place, { path });
  assert.equal((await stat(path)).mode & 0o777, 0o600);
  await assert.rejects(machine.client.listen({ kind: 'unix', path }, 1, waits), withCode('conflict'));
  const line = await machine.client.connect({ path }, 1, waits);
  line.end('knock');
  assert.equal(await text(await nextOf(listening.connections[Symbol.asyncIterator]())), 'knock');
  await listening[Symbol.asyncDispose]();
  await until('the end of the socket', async () => !(await stat(path).catch(() => undefined)));
  await assert.rejects(machine.client.connect({ path }, 1, waits), withCode('not-found'));

  await symlink('/etc', join(machine.process.workDir, 'etc'));
  for (const outside of ['/etc/passwd', 'etc/passwd', '../../etc/passwd']) {
    await assert.rejects(
      machine.client.connect({ path: outside }, 1, waits),
      (error) => isCode(error, 'forbidden') || isCode(error, 'not-found'),
    );
    await assert.rejects(
      machine.client.listen({ kind: 'unix', path: `${outside}.socket` }, 1, waits),
      (error) => isCode(error, 'forbidden') || isCode(error, 'not-found'),
    );
  }
  await assert.rejects(machine.client.connect({ path: 'etc/passwd' }, 1, waits), withCode('forbidden'));
  await assert.rejects(machine.client.listen({ kind: 'unix', path: 'x'.repeat(120) }, 1, waits), withCode('invalid'));
});

test('what nobody listens to is refused with the reason, at either loopback address', async () => {
  await using server = await serving((socket) => socket.end('six'), '::1');
  assert.equal(await text(await machine.client.connect(server.port, 1, waits)), 'six');
  const { port } = server;
  await server[Symbol.asyncDispose]();
  await assert.rejects(
    machine.client.connect(port, 1, waits),
    (error: Error) => withCode('unavailable')(error) && error.message.includes('ECONNREFUSED'),
  );
  for (const bad of [0, 65_536, 1.5]) await assert.rejects(machine.client.connect(bad, 1, waits), withCode('invalid'));
});

test('a lost end is told at the other one', async () => {
  const come = Promise.withResolvers<Socket>();
  await using server = await serving(come.resolve);
  const first = await machine.client.connect(server.port, 1, waits);
  first.on('error', () => {}).destroy();
  const theirs = await come.promise;
  await once(theirs.resume(), 'end');
});

test('who comes to a listener is told and picked up, early bytes first', async () => {
  await using listening = await machine.client.listen({ kind: 'tcp', port: 0 }, 1, waits);
  assert.ok('port' in listening.place);
  const { port } = listening.place;
  const arrivals = listening.connections[Symbol.asyncIterator]();
  for (const name of ['a', 'b']) {
    const theirs = connect({ port, host: '127.0.0.1', allowHalfOpen: true });
    theirs.write(`early ${name}`);
    const ours = await nextOf(arrivals);
    ours.end(`welcome ${name}`);
    assert.equal(await text(theirs), `welcome ${name}`);
    theirs.end(' and late');
    assert.equal(await text(ours), `early ${name} and late`);
  }
  await assert.rejects(machine.client.listen({ kind: 'tcp', port }, 1, waits), withCode('conflict'));
});

test('a Unix socket lies in a directory of its own, which goes with the listener; connections that it gave go on', async () => {
  const listening = await machine.client.listen({ kind: 'unix' }, 1, waits);
  assert.ok('path' in listening.place);
  const { path } = listening.place;
  assert.equal((await stat(dirname(path))).mode & 0o777, 0o700);
  const theirs = connect({ path, allowHalfOpen: true });
  const ours = await nextOf(listening.connections[Symbol.asyncIterator]());
  await listening[Symbol.asyncDispose]();
  await until('the directory is removed', () =>
    stat(dirname(path)).then(
      () => false,
      () => true,
    ),
  );
  ours.end('still here');
  assert.equal(await text(theirs), 'still here');
});

test('who waits while nobody picks up is cut with the listener, and beyond 64 at once', async () => {
  const listening = await machine.client.listen({ kind: 'tcp', port: 0 }, 1, waits);
  assert.ok('port' in listening.place);
  const { port } = listening.place;
  const sockets: Socket[] = [];
  for (let n = 0; n < 70; n += 1) {
    const socket = connect({ port, host: '127.0.0.1' }).on('error', () => {});
    sockets.push(socket);
    await once(socket, 'connect');
  }
  await until(
    'six were cut',
    () => sockets.filter((socket) => socket.destroyed || socket.readableEnded || (socket.resume(), false)).length >= 6,
  );
  await listening[Symbol.asyncDispose]();
  for (const socket of sockets) if (!socket.destroyed) await once(socket, 'close');
});

test('the reader of a listener learns of its loss, and of its own closing by the end', async () => {
  const listening = await machine.client.listen({ kind: 'tcp', port: 0 }, 1, waits);
  const reading = Array.fromAsync(listening.connections);
  await listening[Symbol.asyncDispose]();
  assert.deepEqual(await reading, []);
});

test('requests that are none are refused, and none are taken behind another one', async () => {
  const epoch = { 'Croft-Epoch': '1' };
  const status = async (
    path: string,
    headers: Record<string, string> = epoch,
    rest: { method?: string; body?: string } = {},
  ): Promise<number> => (await ask(machine.process, { method: 'POST', path, headers, ...rest })).status;
  assert.equal(await status('/connect?port=22', {}), 400);
  assert.equal(await status('/connect?port=x'), 400);
  assert.equal(await status('/connect?port=22', epoch, { method: 'GET' }), 400);
  assert.equal(await status('/connect?port=22', epoch, { body: 'text' }), 400);
  assert.equal(await status('/connect?waiting=0123456789abcdef'), 404);
  assert.equal(await status('/listen?kind=pipe'), 400);
  assert.equal(await status('/listen?kind=tcp&port=65536'), 400);
  assert.equal((await ask(machine.process, { method: 'POST', path: '/connect?port=22', headers: epoch, password: 'wrong' })).status, 403);
});

test('a newer lease cuts connections and listeners of an older one, and waits until they are closed', async () => {
  await using fenced = await startMachine();
  await using server = await serving(() => {});
  const { client } = fenced;
  const line = await client.connect(server.port, 1, waits);
  const listening = await client.listen({ kind: 'unix' }, 1, waits);
  const ended = (stream: Duplex): Promise<unknown> => once(stream.on('error', () => {}).resume(), 'end');
  const ends = [ended(line), assert.rejects(Array.fromAsync(listening.connections), withCode('unavailable'))];
  (await client.connect(server.port, 2, waits)).destroy();
  await Promise.all(ends);
  await assert.rejects(client.connect(server.port, 1, waits), withCode('stale'));
  await assert.rejects(client.listen({ kind: 'unix' }, 1, waits), withCode('stale'));
});

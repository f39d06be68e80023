/** What a hostile machine, or a body that cannot be read, does to whoever sends: nothing but a failure, told as what it is. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer, type AddressInfo, type Socket } from 'node:net';
import { test } from 'node:test';
import { parseRunId } from '@croft/domain/names';
import { SECOND, systemClock } from '@croft/runtime/clock';
import { CroftError, errorText, isCode, type ErrorCode } from '@croft/runtime/errors';
import { packTarGz, type TarEntry } from '@croft/streams/tar-pack';
import { createBuildlet, type Buildlet } from './client.ts';

const id = parseRunId('a.1.test');
const ok = 'HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok';
const stale = '{"code":"stale","message":"a newer lease"}';
const refusal = `HTTP/1.1 412 No\r\nContent-Type: application/json\r\nContent-Length: ${stale.length}\r\n\r\n${stale}`;

/** A machine that does as told with the connection, once the head of a request is there. */
async function machine(onHead: (socket: Socket) => void): Promise<AsyncDisposable & { readonly client: Buildlet }> {
  const sockets = new Set<Socket>();
  const server = createServer((socket) => {
    sockets.add(socket);
    socket.on('error', () => undefined);
    socket.once('data', () => onHead(socket.resume()));
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  const client = createBuildlet({ host: '127.0.0.1', port, password: 'sesame' }, { clock: systemClock });
  return {
    client,
    async [Symbol.asyncDispose]() {
      await client[Symbol.asyncDispose]();
      for (const socket of sockets) socket.destroy();
      server.close();
    },
  };
}

async function* files(count: number, then?: () => Promise<unknown>): AsyncGenerator<TarEntry> {
  for (let n = 0; n < count; n += 1) {
    const content = Buffer.from(Array.from({ length: 65_536 }, (_, at) => ((at + n) * 2_654_435_761) >>> 11));
    yield { kind: 'file', path: Buffer.from(`f${n}`), mode: 0o644, size: content.length, mtime: 0, content };
  }
  await then?.();
}

/** Late enough for what was written to arrive. */
const resetSoon = (socket: Socket): void => void systemClock.sleep(2).then(() => socket.resetAndDestroy());
const bug = async (): Promise<never> => Promise.reject(new TypeError('a bug in the generator'));
const mirrorGone = async (): Promise<never> => Promise.reject(new CroftError('unavailable', 'git object 42 is missing'));

/** The failure's code; `sent` without one. A call that hangs is one too. */
async function outcome(call: Promise<unknown>): Promise<ErrorCode | 'sent' | 'hung'> {
  const ended = call.then(
    () => 'sent' as const,
    (error: unknown) => (error instanceof CroftError ? error.code : assert.fail(errorText(error))),
  );
  const settled = new AbortController();
  const hung = systemClock.sleep(10 * SECOND, { signal: settled.signal }).then(() => 'hung' as const);
  return Promise.race([ended, hung]).finally(() => settled.abort());
}

test('a body that cannot be read is the sender’s failure, whatever the machine does meanwhile', async () => {
  const machines: Record<string, (socket: Socket) => void> = {
    hangs: () => undefined,
    'reads nothing': (socket) => void socket.pause(),
    'answers for ever': (socket) => void socket.write('HTTP/1.1 103 Early Hints\r\n\r\n'.repeat(100)),
  };
  for (const [does, act] of Object.entries(machines)) {
    for (const count of [0, 1, 100]) {
      for (const fail of [bug, mirrorGone]) {
        await using server = await machine(act);
        const body = packTarGz(files(does === 'reads nothing' ? Math.min(count, 1) : count, fail));
        assert.equal(await outcome(server.client.putTarGz('.', body, 1, {})), 'internal', `${does}, ${count} files`);
      }
    }
  }
});

test('an answer that comes early is what counts, also when the connection breaks or the body would have failed', async () => {
  const early: Record<string, [(socket: Socket) => void, ErrorCode | 'sent']> = {
    refuses: [(socket) => void socket.write(refusal), 'stale'],
    'refuses and reads nothing': [(socket) => void socket.pause().write(refusal), 'stale'],
    'refuses and resets': [(socket) => void socket.write(refusal, () => resetSoon(socket)), 'stale'],
    accepts: [(socket) => void socket.write(ok), 'sent'],
    'answers twice': [(socket) => void socket.write(`${ok}${refusal}`), 'sent'],
    'takes over': [(socket) => void socket.write('HTTP/1.1 101 Now\r\nUpgrade: x\r\nConnection: Upgrade\r\n\r\n'), 'unavailable'],
    'breaks in its answer': [
      (socket) => void socket.write('HTTP/1.1 400 No\r\nContent-Length: 99\r\n\r\nhalf', () => resetSoon(socket)),
      'unavailable',
    ],
  };
  const never = (): Promise<never> => new Promise(() => undefined);
  for (const [does, [act, expected]] of Object.entries(early)) {
    for (const fails of [false, true]) {
      const acted = Promise.withResolvers<void>();
      const then = fails ? () => acted.promise.then(() => systemClock.sleep(500)).then(bug) : never;
      await using server = await machine((socket) => {
        act(socket);
        acted.resolve();
      });
      const signal = systemClock.deadline(5 * SECOND);
      assert.equal(await outcome(server.client.putTarGz('.', packTarGz(files(20, then)), 1, { signal })), expected, does);
    }
  }
});

test('whoever waits for a machine is let go by the signal and by the deadline, even when the body hangs', async () => {
  await using server = await machine(() => undefined);
  const signal = systemClock.deadline(100);
  const hanging = packTarGz(files(1, () => new Promise(() => undefined)));
  assert.equal(await outcome(server.client.putTarGz('.', hanging, 1, { signal })), 'timeout');
});

test('a connection that is taken over instead of answered is a machine that cannot be used', async () => {
  await using server = await machine((socket) => void socket.write('HTTP/1.1 101 Now\r\nUpgrade: x\r\nConnection: Upgrade\r\n\r\n'));
  assert.equal(await outcome(server.client.status({})), 'unavailable');
  assert.equal(await outcome(Array.fromAsync(server.client.output(id, 0, {}))), 'unavailable');
});

test('a head without end is not read to its end', async () => {
  await using server = await machine((socket) => {
    const more = (): void => void (socket.destroyed || socket.write('X-More: and more\r\n'.repeat(100), () => setImmediate(more)));
    socket.write('HTTP/1.1 200 OK\r\n', more);
  });
  await assert.rejects(server.client.status({}), (error) => isCode(error, 'unavailable'));
});

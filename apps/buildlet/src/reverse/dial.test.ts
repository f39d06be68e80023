/** The way to the coordinator: proxies, and peers that never answer. buildlet.md 1.15. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { connect, createServer, type AddressInfo, type Socket } from 'node:net';
import { before, describe, test } from 'node:test';
import { createServer as createTlsServer } from 'node:tls';
import { systemClock, type Clock } from '@croft/runtime/clock';
import { FakeClock } from '@croft/runtime/testing';
import { lacksOpenssl, selfSigned, type Pair } from '../testing-tls.ts';
import { dialCoordinator, type Trust } from './dial.ts';
import { proxyFor } from './proxy.ts';

const never = new AbortController().signal;

async function listening<T>(onSocket: (socket: Socket) => void, use: (port: number) => Promise<T>): Promise<T> {
  const sockets = new Set<Socket>();
  const server = createServer((socket) => {
    sockets.add(socket);
    onSocket(socket.on('error', () => {}));
  }).listen(0, '127.0.0.1');
  await once(server, 'listening');
  try {
    return await use((server.address() as AddressInfo).port);
  } finally {
    for (const socket of sockets) socket.destroy();
    server.close();
  }
}

const dial = (trust: Partial<Trust> & Pick<Trust, 'coordinator'>, clock: Clock = systemClock): Promise<unknown> =>
  dialCoordinator({ insecureDev: false, ca: undefined, proxies: {}, ...trust }, clock, { signal: never });

test('a coordinator that accepts and does not shake hands is given half a minute', async () => {
  const clock = new FakeClock();
  const accepted = Promise.withResolvers<void>();
  await listening(
    () => accepted.resolve(),
    async (port) => {
      const failed = assert.rejects(dial({ coordinator: { host: '127.0.0.1', port } }, clock), /the TLS handshake took too long/);
      await accepted.promise;
      while (clock.pending < 2) await clock.advance(0); // of the connection, then of the handshake
      await clock.advance(30_000);
      await failed;
    },
  );
});

test('who speaks no TLS is told as that', async () => {
  await listening(
    (socket) => socket.end('HTTP/1.1 200 OK\r\n\r\n'),
    (port) =>
      assert.rejects(
        dial({ coordinator: { host: '127.0.0.1', port } }),
        /dial the coordinator at 127\.0\.0\.1:\d+: .*(?:wrong version|packet length)/i,
      ),
  );
});

describe('through a proxy', { skip: lacksOpenssl() }, () => {
  /** Nobody can reach it directly. */
  const coordinator = { host: 'coordinator.invalid', port: 443 };
  let pair: Pair;
  before(() => {
    pair = selfSigned('DNS:coordinator.invalid');
  });

  const asked = (answer: (head: string, socket: Socket) => void, use: (proxy: string) => Promise<void>): Promise<void> =>
    listening(
      (socket) => {
        let head = '';
        socket.on('data', function onData(piece: Buffer) {
          head += piece.toString('latin1');
          if (!head.endsWith('\r\n\r\n')) return;
          socket.removeListener('data', onData).pause();
          answer(head, socket);
        });
      },
      (port) => use(`http://user:p%40ss@127.0.0.1:${port}`),
    );

  test('the coordinator is reached where the direct way fails, under its own name', async () => {
    const server = createTlsServer({ cert: pair.cert, key: pair.key }, (socket) => socket.end('behind')).listen(0, '127.0.0.1');
    await once(server, 'listening');
    const heads: string[] = [];
    const open = (head: string, socket: Socket): void => {
      heads.push(head);
      const through = connect((server.address() as AddressInfo).port, '127.0.0.1');
      socket.write('HTTP/1.1 200 Connection established\r\n\r\n');
      through.on('error', () => {}).pipe(socket);
      socket.pipe(through);
    };
    await asked(open, async (proxy) => {
      const socket = await dialCoordinator({ coordinator, ca: pair.cert, insecureDev: false, proxies: { https: proxy } }, systemClock, {
        signal: never,
      });
      const [bytes] = (await once(socket, 'data')) as [Buffer];
      assert.equal(bytes.toString(), 'behind');
      socket.destroy();
    });
    assert.deepEqual(heads, [
      `CONNECT coordinator.invalid:443 HTTP/1.1\r\nHost: 127.0.0.1\r\nProxy-Authorization: Basic ${btoa('user:p@ss')}\r\n\r\n`,
    ]);
    server.close();
  });

  test('one that refuses, rambles, says too much or goes away is a failure that names it', async () => {
    for (const [answer, told] of [
      ['HTTP/1.1 407 Proxy Authentication Required\r\n\r\n', /the proxy 127\.0\.0\.1 answered 407 Proxy Authentication Required/],
      ['HTTP/1.1 200 OK\r\n\r\nextra', /bytes that nobody asked for/],
      [`HTTP/1.1 200 ${'x'.repeat(20_000)}`, /a head without end/],
      ['', /the proxy ended the connection/],
      ['nonsense\r\n\r\n', /not HTTP/],
    ] as const) {
      await asked(
        (_, socket) => socket.end(answer),
        (proxy) => assert.rejects(dial({ coordinator, proxies: { https: proxy } }), told),
      );
    }
  });
});

test('which places are reached without a proxy is said by NO_PROXY, and loopback always is', () => {
  const through = (host: string, none: string, port = 443): boolean =>
    proxyFor({ host, port }, { https: 'proxy.example:3128', none }) !== undefined;
  assert.deepEqual(proxyFor({ host: 'farm.example', port: 443 }, { https: 'proxy.example' }), {
    host: 'proxy.example',
    port: 80,
    credentials: undefined,
  });
  assert.equal(proxyFor({ host: 'farm.example', port: 443 }, {}), undefined);
  for (const host of ['localhost', '127.0.0.1', '127.9.9.9', '::1']) assert.equal(through(host, ''), false, host);
  for (const [host, none, isThrough] of [
    ['farm.example', '', true],
    ['farm.example', '*', false],
    ['farm.example', 'other.example, farm.example', false],
    ['a.farm.example', 'farm.example', false],
    ['farm.example', '.farm.example', true],
    ['a.farm.example', '.farm.example', false],
    ['notfarm.example', 'farm.example', true],
    ['FARM.example', 'farm.EXAMPLE', false],
    ['farm.example', 'farm.example:8443', true],
    ['10.1.2.3', '10.0.0.0/8', false],
    ['11.1.2.3', '10.0.0.0/8', true],
    ['fd00::1', 'fd00::/8', false],
    ['fd00::1', 'fd00::1', false],
    ['10.1.2.3', '10.0.0.0/99', true],
    ['farm.example', '10.0.0.0/8', true],
  ] as const)
    assert.equal(through(host, none), isThrough, `${host} with NO_PROXY=${none}`);
  assert.throws(() => proxyFor({ host: 'farm.example', port: 443 }, { https: 'socks5://proxy' }), /not the address of an HTTP proxy/);
});

/** What strangers on the network can do to a listener: TLS, slow and half-open connections, the moment before a halt. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import type { Server } from 'node:http';
import { request } from 'node:https';
import { connect, type AddressInfo, type Socket } from 'node:net';
import { text } from 'node:stream/consumers';
import { after, before, describe, test } from 'node:test';
import { connect as connectTls } from 'node:tls';
import { createBuildlet } from '@croft/buildlet/client';
import { systemClock } from '@croft/runtime/clock';
import { Secret } from '@croft/runtime/config';
import { ask, runId, spec, startMachine, until, withCode, type TestMachine } from '../testing.ts';
import { lacksOpenssl, selfSigned, type Pair } from '../testing-tls.ts';
import { listen } from './listener.ts';

const loopback = { kind: 'tcp', host: '127.0.0.1', port: 0 } as const;
const portOf = (server: Server): number => (server.address() as AddressInfo).port;
const answerAll = (_: unknown, response: { end(body: string): void }): void => response.end('served');

async function serving<T>(options: Parameters<typeof listen>[1], use: (port: number) => Promise<T>, address = loopback): Promise<T> {
  const server = await listen(address, options, answerAll);
  try {
    return await use(portOf(server));
  } finally {
    server.closeAllConnections();
    server.close();
  }
}

describe('over TLS', { skip: lacksOpenssl() }, () => {
  let pair: Pair;
  before(() => {
    pair = selfSigned();
  });
  const tls = () => ({ cert: pair.cert, key: new Secret(pair.key) });

  test('a request is served to whoever trusts the certificate, under any name', async () => {
    await serving({ insecure: false, tls: tls() }, async (port) => {
      const asked = request({
        host: '127.0.0.1',
        port,
        ca: pair.cert,
        servername: 'localhost',
        headers: { Host: 'worker.example' },
        agent: false,
      });
      asked.end();
      const [response] = (await once(asked, 'response')) as [NodeJS.ReadableStream];
      assert.equal(await text(response), 'served');
    });
  });

  test('no protocol is chosen, whatever is offered: HTTP/2 is never spoken', async () => {
    await serving({ insecure: false, tls: tls() }, async (port) => {
      for (const ALPNProtocols of [['h2'], ['h2', 'http/1.1'], undefined]) {
        const socket = connectTls({
          host: '127.0.0.1',
          port,
          ca: pair.cert,
          servername: 'localhost',
          ...(ALPNProtocols ? { ALPNProtocols } : {}),
        });
        await once(socket, 'secureConnect');
        assert.equal(socket.alpnProtocol, false);
        socket.destroy();
      }
    });
  });

  test('versions before 1.2, and requests in the clear, are turned away', async () => {
    await serving({ insecure: false, tls: tls() }, async (port) => {
      const old = connectTls({
        host: '127.0.0.1',
        port,
        ca: pair.cert,
        minVersion: 'TLSv1',
        maxVersion: 'TLSv1.1',
        ciphers: 'DEFAULT@SECLEVEL=0',
      });
      await assert.rejects(once(old, 'secureConnect'));
      const plain = connect(port, '127.0.0.1');
      plain.on('error', () => {}).end('GET / HTTP/1.1\r\nHost: localhost\r\n\r\n');
      assert.doesNotMatch(await text(plain).catch(() => ''), /served/);
    });
  });

  test('an open address is taken', async () => {
    await serving({ insecure: false, tls: tls() }, async (port) => assert.ok(port > 0), { ...loopback, host: '0.0.0.0' as '127.0.0.1' });
  });

  test('a whole buildlet is driven over it, and tells no stranger more than without', async () => {
    await using machine = await startMachine({ listen: '127.0.0.1:0', tls: pair });
    await machine.client.startOrAttach(runId('a'), spec(['true']), 1, {});
    await using stranger = createBuildlet({ ...machine.process.address, password: 'guessed' }, { clock: systemClock });
    await assert.rejects(stranger.status({}), withCode('forbidden'));
  });
});

test('a head that does not come in time is given up, and so is a connection that says nothing', async () => {
  await serving({ insecure: false, headMs: 100 }, async (port) => {
    for (const begun of ['', 'GET / HTTP/1.1\r\nHost: localhost\r\nX-Slow: ']) {
      const socket = connect(port, '127.0.0.1');
      socket.on('error', () => {}).write(begun);
      assert.doesNotMatch(await text(socket), /served/);
    }
  });
});

describe('a machine', () => {
  let machine: TestMachine;
  before(async () => {
    machine = await startMachine();
  });
  after(() => machine[Symbol.asyncDispose]());

  const open = (): Socket => {
    const { socketPath } = machine.process.address;
    assert.ok(socketPath !== undefined);
    return connect(socketPath);
  };

  test('goes on serving beside connections that are half closed and bodies that stand still', async () => {
    const still = open();
    still
      .on('error', () => {})
      .write(
        `PUT /writetgz HTTP/1.1\r\nHost: x\r\nAuthorization: Basic ${btoa(`:${machine.process.address.password}`)}\r\nContent-Length: 1000\r\n\r\n`,
      );
    const half = open();
    half.on('error', () => {}).end('GET /status HTTP/1.1\r\nHost: x\r\n');
    await text(half).catch(() => '');
    assert.equal((await machine.client.status({})).Version, 27);
    still.destroy();
  });

  test('sends as many bytes as are asked for, to anybody, and never more than a MiB', async () => {
    for (const [n, length] of [
      ['5', 5],
      ['', 0],
      ['x', 0],
      ['-3', 0],
      ['+7', 7],
      ['1048577', 1_048_576],
      ['1e3', 0],
    ] as const) {
      const { status, body } = await ask(machine.process, { path: `/debug/x?n=${encodeURIComponent(n)}`, password: undefined });
      assert.deepEqual([status, body], [200, 'X'.repeat(length)], n);
    }
    assert.equal((await ask(machine.process, { path: '/debug/x', method: 'POST', password: undefined })).status, 200);
  });

  test('tells who has the password what it is doing, and no secret', async () => {
    assert.equal((await ask(machine.process, { path: '/debug/goroutines', password: undefined })).status, 403);
    const { body, headers } = await ask(machine.process, { path: '/debug/goroutines' });
    assert.match(body, /^buildlet: 27 .*\nupSeconds: \d+\nmemory: \{.*rss.*\nused: .*\nwaitsFor: \{/);
    assert.equal(headers['content-type'], 'text/plain; charset=utf-8');
    assert.ok(!body.includes(machine.process.address.password) && !body.includes(machine.process.dir));
  });

  test('takes no work once it was halted, tells so, and is told twice without harm', async () => {
    await machine.client.halt(1, {});
    const exec = await ask(machine.process, { method: 'POST', path: '/removeall?path=x' });
    assert.deepEqual([exec.status, exec.body], [500, 'the machine is being halted\n']);
    await assert.rejects(machine.client.startOrAttach(runId('b'), spec(['true']), 1, {}), withCode('unavailable'));
    assert.equal((await machine.client.status({})).Version, 27);
    await machine.client.halt(1, {});
    assert.equal(await machine.process.ended(), 0);
  });
});

describe('told to end by SIGTERM', () => {
  const upload = async ({ process: own }: TestMachine): Promise<Socket> => {
    const { socketPath = '', password } = own.address;
    const socket = connect(socketPath);
    const head = `PUT /write?path=sent&mode=420 HTTP/1.1\r\nHost: x\r\nAuthorization: Basic ${btoa(`:${password}`)}\r\n`;
    socket.on('error', () => {}).write(`${head}Expect: 100-continue\r\nContent-Length: 10\r\n\r\n`);
    await once(socket, 'readable');
    assert.match(String(socket.read()), /^HTTP\/1\.1 100 /, 'it is being read');
    socket.write('first');
    return socket;
  };
  const isClosed = ({ process: own }: TestMachine): Promise<unknown> =>
    until('nobody new is let in', async () => {
      const socket = connect(own.address.socketPath ?? '');
      const refused = await Promise.race([once(socket, 'connect').then(() => false), once(socket, 'error')]).catch(() => true);
      socket.destroy();
      return refused !== false;
    });

  test('it lets an upload come to its end, and then ends', async () => {
    await using machine = await startMachine();
    const socket = await upload(machine);
    process.kill(machine.process.pid, 'SIGTERM');
    await isClosed(machine);
    socket.write('secon');
    assert.match(await text(socket), /^HTTP\/1\.1 200 [^]*OK$/);
    assert.equal(await machine.process.ended(), 0);
  });

  test('it cuts one that stands still, after five seconds', async () => {
    await using machine = await startMachine();
    const socket = await upload(machine);
    process.kill(machine.process.pid, 'SIGTERM');
    assert.equal(await text(socket).catch(() => ''), '');
    assert.equal(await machine.process.ended(), 0);
  });
});

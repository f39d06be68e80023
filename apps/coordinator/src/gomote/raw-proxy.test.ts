/** Connections that are raw, and machines that answer as none should, through the coordinator; the machines are made by hand. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { request, type IncomingMessage } from 'node:http';
import { connect as connectHttp2 } from 'node:http2';
import { createServer, type AddressInfo, type Socket } from 'node:net';
import { text } from 'node:stream/consumers';
import { describe, test } from 'node:test';
import { createBuildlet, type BuildletAddress } from '@croft/buildlet/client';
import { systemClock } from '@croft/runtime/clock';
import { isCode } from '@croft/runtime/errors';
import { openProxyStage } from './testing-proxy.ts';

const signal = systemClock.deadline(20_000);
const switched = 'HTTP/1.1 101 Switching Protocols\r\nUpgrade: croft-raw\r\nConnection: Upgrade\r\n\r\n';

interface Machine extends AsyncDisposable {
  readonly address: BuildletAddress;
  readonly heads: string[];
}

/** Tells its work directory, and leaves every other request to `answer`. */
async function machineThat(answer: (socket: Socket, head: string) => void): Promise<Machine> {
  const heads: string[] = [];
  const server = createServer({ allowHalfOpen: true }, (socket) => {
    socket.on('error', () => undefined);
    socket.once('data', (bytes: Buffer) => {
      const head = bytes.toString('latin1');
      if (head.startsWith('GET /workdir ')) return socket.end('HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n/work');
      heads.push(head);
      return answer(socket, head);
    });
  });
  await once(server.listen(0, '127.0.0.1'), 'listening');
  const address = { host: '127.0.0.1', port: (server.address() as AddressInfo).port, password: 'sesame' };
  return { address, heads, [Symbol.asyncDispose]: async () => void server.close() };
}

describe('raw connections through the coordinator', () => {
  test('go both ways, with what the machine says early and with half-closes', async () => {
    await using machine = await machineThat((socket) => {
      socket.write(`${switched}early `);
      socket.on('data', (piece) => void socket.write(piece)).on('end', () => socket.end(' bye'));
    });
    await using stage = await openProxyStage(machine.address);
    await using client = createBuildlet(stage.address, { clock: systemClock });
    const stream = await client.connect(80, 0, { signal });
    stream.end('hello'.repeat(100_000));
    assert.equal(await text(stream), `early ${'hello'.repeat(100_000)} bye`);
    const [head = ''] = machine.heads;
    assert.match(head, /^POST \/connect\?port=80 HTTP\/1\.1\r\n/);
    assert.match(head, /\r\ncroft-epoch: 7\r\n/i);
    assert.match(head, new RegExp(`\r\nAuthorization: Basic ${Buffer.from(':sesame').toString('base64')}\r\n`));
    assert.doesNotMatch(head, /croft_|Bearer|cookie/i, 'the machine learns nothing of who asks');
    assert.deepEqual(await stage.app.audited(), ['ann: session.connect ann-linux-0']);
  });

  test('wait for a reader that is slow, however much the machine has to say', async () => {
    let written = 0;
    const piece = Buffer.alloc(65_536);
    await using machine = await machineThat((socket) => {
      socket.write(switched);
      const more = (): void => {
        while (written < 1e9 && socket.write(piece)) written += piece.length;
      };
      socket.on('drain', more);
      more();
    });
    await using stage = await openProxyStage(machine.address);
    await using client = createBuildlet(stage.address, { clock: systemClock });
    const stream = await client.connect(80, 0, { signal });
    let before = -1;
    while (before !== written) {
      before = written;
      await systemClock.sleep(300);
    }
    assert.ok(written < 64e6, `${written} bytes were taken though nobody reads`);
    stream.destroy();
  });

  test('are cut when the session ends', async () => {
    await using machine = await machineThat((socket) => void socket.write(switched));
    await using stage = await openProxyStage(machine.address);
    await using client = createBuildlet(stage.address, { clock: systemClock });
    const stream = await client.connect(80, 0, { signal });
    const ended = once(stream.resume(), 'end');
    stage.end('its owner ended it');
    await ended;
    stream.destroy();
  });

  test('are refused as the machine says, need HTTP/1 and have no body', async () => {
    const body = JSON.stringify({ code: 'unavailable', message: 'nothing listens at port 9' });
    await using machine = await machineThat((socket) => socket.end(`HTTP/1.1 503 Gone\r\nContent-Length: ${body.length}\r\n\r\n${body}`));
    await using stage = await openProxyStage(machine.address);
    await using client = createBuildlet(stage.address, { clock: systemClock });
    const isTold = (error: unknown): boolean => isCode(error, 'unavailable') && error.message.includes('nothing listens at port 9');
    await assert.rejects(client.connect(9, 0, { signal }), isTold);
    assert.equal((await stage.ask('/connect?port=1', { method: 'POST', body: 'x' })).status, 400);
    const http2 = connectHttp2(stage.listener.url);
    const path = { ':method': 'POST', ':path': `${stage.address.basePath}/connect?port=1` };
    const asked = http2.request({ ...path, authorization: `Bearer ${stage.address.token}` }, { endStream: true });
    const [answer] = (await once(asked, 'response')) as [{ ':status': number }];
    assert.equal(answer[':status'], 400);
    http2.close();
  });
});

describe('what a machine that is not to be trusted answers', () => {
  test('runs nowhere, signs nobody in, leads nowhere', async () => {
    const evil =
      'HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nSet-Cookie: croft=1\r\nLocation: //evil\r\nAccess-Control-Allow-Origin: *\r\n';
    const policy = 'Content-Security-Policy: default-src *\r\nService-Worker-Allowed: /\r\nContent-Length: 8\r\n\r\n<script>';
    await using machine = await machineThat((socket) => socket.end(evil + policy));
    await using stage = await openProxyStage(machine.address);
    const answer = await stage.ask('/ls?dir=.');
    const names = [...answer.headers.keys()];
    for (const gone of ['set-cookie', 'location', 'access-control-allow-origin', 'service-worker-allowed'])
      assert.ok(!names.includes(gone), gone);
    assert.equal(answer.headers.get('content-type'), 'application/octet-stream');
    assert.match(answer.headers.get('content-security-policy') ?? '', /^sandbox; default-src 'none'/);
    assert.equal(await answer.text(), '<script>');
  });

  test('is passed on cut where it was cut, and is unavailable where it is no answer', async () => {
    const answers = [
      'HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf',
      'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n',
    ];
    for (const half of answers) {
      await using machine = await machineThat((socket) => socket.end(half));
      await using stage = await openProxyStage(machine.address);
      const answer = await stage.ask('/tgz?dir=.');
      await assert.rejects(answer.text());
    }
    for (const nonsense of [
      '',
      'garbage\r\n\r\n',
      'HTTP/1.1 101 Switching Protocols\r\n\r\n',
      `HTTP/1.1 200 OK\r\nX: ${'x'.repeat(40_000)}\r\n\r\n`,
    ]) {
      await using machine = await machineThat((socket) => socket.end(nonsense));
      await using stage = await openProxyStage(machine.address);
      assert.ok([502, 503].includes((await stage.ask('/tgz?dir=.')).status), nonsense.slice(0, 20));
    }
  });

  test('trailers come through, also those of a command', async () => {
    const answer =
      'HTTP/1.1 200 OK\r\nTrailer: Process-State\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\nProcess-State: exit status 3\r\n\r\n';
    await using machine = await machineThat((socket) => socket.end(answer));
    await using stage = await openProxyStage(machine.address);
    const asked = request(`${stage.listener.url}${stage.address.basePath}/exec`, {
      method: 'POST',
      headers: { authorization: `Bearer ${stage.address.token}`, 'content-type': 'application/x-www-form-urlencoded' },
    });
    asked.end('cmd=x');
    const [response] = (await once(asked, 'response')) as [IncomingMessage];
    assert.equal(await text(response), 'hi');
    assert.equal(response.trailers['process-state'], 'exit status 3');
  });
});

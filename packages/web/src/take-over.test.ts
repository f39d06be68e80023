import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { Agent, createServer, request, type IncomingMessage, type ServerResponse } from 'node:http';
import { connect as connectTcp, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { test } from 'node:test';
import { connect as connectTls } from 'node:tls';
import { silentLog } from '@croft/runtime/log';
import { serve, type RawHandler } from './listener.ts';
import { takeOver } from './take-over.ts';

const options = { host: '127.0.0.1', port: 0, log: silentLog };
const asking = 'GET /revdial HTTP/1.1\r\nHost: \r\n\r\n';
const answered = 'HTTP/1.1 101 Switching Protocols\r\nCroft-Revdial: 1\r\n\r\n';

/** Hands what is taken over to `taken`. */
function taking(taken: (socket: Socket) => void): RawHandler {
  return {
    takes: ({ url = '' }) => url.startsWith('/revdial'),
    answer(incoming, outgoing) {
      takeOver(incoming as IncomingMessage, outgoing as ServerResponse, { 'Croft-Revdial': '1' }).then(taken, () => undefined);
    },
  };
}

async function reads(socket: Socket): Promise<string> {
  const [bytes] = (await once(socket, 'data')) as [Buffer];
  return bytes.toString();
}

test('a connection is raw after the 101, and speaks both ways', async () => {
  const taken = Promise.withResolvers<Socket>();
  await using listener = await serve(() => new Response('page'), { ...options, raw: [taking(taken.resolve)] });
  const far = connectTcp(listener.port, '127.0.0.1');
  far.write(asking);
  assert.equal(await reads(far), answered);
  const near = await taken.promise;
  near.write('{"command":"keep-alive"}\n');
  assert.equal(await reads(far), '{"command":"keep-alive"}\n');
  far.write('hello');
  assert.equal(await reads(near), 'hello');
  far.end();
  assert.equal(await text(near), '');
});

test('the second request of a connection can be taken over, too', async () => {
  const taken = Promise.withResolvers<Socket>();
  await using listener = await serve(() => new Response('page'), { ...options, raw: [taking(taken.resolve)] });
  const far = connectTcp(listener.port, '127.0.0.1');
  far.write('GET /elsewhere HTTP/1.1\r\nHost: localhost\r\n\r\n');
  assert.match(await reads(far), /^HTTP\/1\.1 200/);
  far.write(asking);
  assert.equal(await reads(far), answered);
  (await taken.promise).destroy();
});

test('an HTTP client speaks over what was taken over, under TLS as well, with large bodies', async () => {
  const taken = Promise.withResolvers<Socket>();
  const tls = selfSigned();
  await using listener = await serve(() => new Response('page'), { ...options, tls, raw: [taking(taken.resolve)] });
  const far = connectTls({ host: '127.0.0.1', port: listener.port, ca: tls.cert, servername: 'localhost' });
  far.write(asking);
  assert.equal(await reads(far), answered);
  const echo = createServer((incoming, outgoing) => incoming.pipe(outgoing));
  echo.emit('connection', far);
  const agent = new Agent({ keepAlive: true, maxSockets: 1 });
  const near = await taken.promise;
  agent.createConnection = () => near;
  const sent = 'x'.repeat(3_000_000);
  for (let round = 0; round < 3; round += 1) {
    const asked = request({ agent, method: 'POST', path: '/' });
    asked.end(sent);
    const [response] = (await once(asked, 'response')) as [IncomingMessage];
    assert.equal(await text(response), sent);
  }
  agent.destroy();
});

test('what is taken over is cut when the listener closes', async () => {
  const taken = Promise.withResolvers<Socket>();
  const listener = await serve(() => new Response('page'), { ...options, graceMs: 20, raw: [taking(taken.resolve)] });
  const far = connectTcp(listener.port, '127.0.0.1');
  far.write(asking);
  await taken.promise;
  const ended = once(far.resume(), 'close');
  await listener[Symbol.asyncDispose]();
  await ended;
});

test('a client that sends more than its request is not spoken with', async () => {
  const taken: Socket[] = [];
  await using listener = await serve(() => new Response('page'), { ...options, raw: [taking((socket) => taken.push(socket))] });
  const far = connectTcp(listener.port, '127.0.0.1');
  far.write(`${asking}\u0000\u0001garbage\r\n\r\n`);
  assert.doesNotMatch(await text(far), /101/);
  assert.deepEqual(taken, []);
});

function selfSigned(): { cert: string; key: string } {
  const dir = mkdtempSync(join(tmpdir(), 'croft-tls-'));
  try {
    const [key, cert] = [join(dir, 'key.pem'), join(dir, 'cert.pem')];
    const wanted = ['req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-days', '2'];
    const named = ['-subj', '/CN=localhost', '-addext', 'subjectAltName=DNS:localhost'];
    execFileSync('openssl', [...wanted, ...named, '-keyout', key, '-out', cert], { stdio: 'ignore' });
    return { cert: readFileSync(cert, 'utf8'), key: readFileSync(key, 'utf8') };
  } finally {
    rmSync(dir, { recursive: true });
  }
}

import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import type { IncomingMessage } from 'node:http';
import { connect as connectHttp2, type ClientHttp2Session } from 'node:http2';
import { request } from 'node:https';
import { connect, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { test } from 'node:test';
import { systemClock } from '@croft/runtime/clock';
import { silentLog } from '@croft/runtime/log';
import { serve, type Listener } from './listener.ts';

const options = { host: '127.0.0.1', port: 0, log: silentLog, graceMs: 200 };
const hello = (): Response => new Response('hello');

async function askHttp2(session: ClientHttp2Session, path = '/'): Promise<{ status: number; body: string }> {
  const stream = session.request({ ':path': path });
  const [headers] = (await once(stream, 'response')) as [{ ':status'?: number }];
  return { status: headers[':status'] ?? 0, body: await text(stream) };
}

async function spoken(listener: Listener): Promise<Socket> {
  const socket = connect(listener.port, '127.0.0.1');
  await once(socket, 'connect');
  return socket;
}

test('who begins with the preface of HTTP/2 is spoken to in it, on the port of HTTP/1', async () => {
  await using listener = await serve(hello, options);
  const session = connectHttp2(listener.url);
  assert.deepEqual(await askHttp2(session), { status: 200, body: 'hello' });
  assert.equal(await (await fetch(listener.url)).text(), 'hello');
  session.close();
  await once(session, 'close');
});

test('a request that comes in pieces, each as short as the preface’s beginning, is understood', async () => {
  await using listener = await serve(async (asked) => new Response(`${asked.method} ${await asked.text()}`), options);
  const socket = await spoken(listener);
  socket.setNoDelay(true);
  for (const piece of ['P', 'RO', 'PFIND / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 2\r\nConnection: close\r\n\r\n', 'o', 'k']) {
    socket.write(piece);
    await new Promise((resolve) => setImmediate(resolve));
  }
  assert.match(await text(socket), /^HTTP\/1\.1 200 OK[^]*PROPFIND ok/);
});

test('who says nothing, or half a preface and no more, holds nothing up', async () => {
  const listener = await serve(hello, options);
  const silent = await spoken(listener);
  const half = await spoken(listener);
  half.write('PRI * HT');
  const ended = await spoken(listener);
  ended.end('PRI * HT');
  await once(ended.resume(), 'close');
  assert.equal(await (await fetch(listener.url)).text(), 'hello');
  const gone = [once(silent.resume(), 'close'), once(half.resume(), 'close')];
  silent.on('error', () => undefined);
  half.on('error', () => undefined);
  await Promise.all([listener[Symbol.asyncDispose](), ...gone]);
});

test('who sends the preface and ends is let go of', async () => {
  await using listener = await serve(hello, options);
  const ended = await spoken(listener);
  ended.end('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n');
  await once(ended.resume(), 'close', { signal: systemClock.deadline(10_000) });
});

test('stopping ends sessions of HTTP/2 when their requests have ended, and cuts those that last', async () => {
  const asked = Promise.withResolvers<void>();
  const listener = await serve(() => {
    asked.resolve();
    return new Promise<Response>(() => {});
  }, options);
  const session = connectHttp2(listener.url);
  session.on('error', () => undefined);
  const stream = session.request({ ':path': '/' }).on('error', () => undefined);
  await asked.promise;
  await Promise.all([listener[Symbol.asyncDispose](), once(session, 'close'), once(stream, 'close')]);
});

test('a body that breaks off costs its request and not the session', async () => {
  await using listener = await serve((asked, connection) => {
    if (!asked.url.endsWith('/broken')) return hello();
    connection.cut();
    return new Response('never seen');
  }, options);
  const session = connectHttp2(listener.url);
  const stream = session.request({ ':path': '/broken' }).on('error', () => undefined);
  await once(stream, 'close');
  assert.equal((await askHttp2(session)).body, 'hello');
  session.destroy();
});

test('under TLS who can speak both gets HTTP/1, and who speaks only HTTP/2 gets that', { skip: lacksOpenssl() }, async () => {
  const tls = selfSigned();
  await using listener = await serve(hello, { ...options, tls });
  const session = connectHttp2(listener.url, { ca: tls.cert, servername: 'localhost' });
  assert.deepEqual(await askHttp2(session), { status: 200, body: 'hello' });
  session.destroy();
  const wishes = {
    host: '127.0.0.1',
    port: listener.port,
    ca: tls.cert,
    servername: 'localhost',
    agent: false,
    ALPNProtocols: ['h2', 'http/1.1'],
  } as const;
  const both = request(wishes);
  both.end();
  const [response] = (await once(both, 'response')) as [IncomingMessage];
  assert.deepEqual([response.httpVersion, await text(response)], ['1.1', 'hello']);
});

function lacksOpenssl(): string | false {
  try {
    execFileSync('openssl', ['version'], { stdio: 'ignore' });
    return false;
  } catch {
    return 'no openssl found to make a certificate with; install openssl';
  }
}

function selfSigned(): { cert: string; key: string } {
  const dir = mkdtempSync(join(tmpdir(), 'croft-tls-'));
  try {
    const [key, cert] = [join(dir, 'key.pem'), join(dir, 'cert.pem')];
    const subject = ['-subj', '/CN=localhost', '-addext', 'subjectAltName=DNS:localhost'];
    execFileSync('openssl', ['req', '-x509', '-newkey', 'rsa:2048', '-nodes', '-days', '2', ...subject, '-keyout', key, '-out', cert], {
      stdio: 'ignore',
    });
    return { cert: readFileSync(cert, 'utf8'), key: readFileSync(key, 'utf8') };
  } finally {
    rmSync(dir, { recursive: true });
  }
}

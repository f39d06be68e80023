import assert from 'node:assert/strict';
import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import { text } from 'node:stream/consumers';
import { test } from 'node:test';
import { isCode } from '@croft/runtime/errors';
import { silentLog } from '@croft/runtime/log';
import { systemClock } from '@croft/runtime/clock';
import { FakeClock } from '@croft/runtime/testing';
import { bodyOf, eventStream } from './event-stream.ts';
import { serve, type Handler, type RawHandler } from './listener.ts';

const options = { host: '127.0.0.1', port: 0, log: silentLog };

test('a handler answers over HTTP and knows the connection', async () => {
  const seen = new Set<unknown>();
  await using listener = await serve(async (request, connection) => {
    seen.add(connection);
    return Response.json({ said: await request.text(), from: connection.remoteAddress });
  }, options);
  const answer = await fetch(`${listener.url}/a`, { method: 'POST', body: 'x' });
  assert.deepEqual(await answer.json(), { said: 'x', from: '127.0.0.1' });
  seen.clear();
  const socket = connect(listener.port, '127.0.0.1');
  socket.write('GET /1 HTTP/1.1\r\nHost: localhost\r\n\r\nGET /2 HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n');
  assert.equal((await text(socket)).match(/HTTP\/1\.1 200/g)?.length, 2);
  assert.equal(seen.size, 1, 'both requests came over the same connection');
});

test('who listens everywhere tells an address that leads there', async () => {
  await using listener = await serve(() => new Response('here'), { ...options, host: '0.0.0.0' });
  assert.equal(listener.url, `http://127.0.0.1:${listener.port}`);
  assert.equal(await (await fetch(listener.url)).text(), 'here');
});

test('a port in use is named, with what to do', async () => {
  await using listener = await serve(() => new Response(), options);
  const again = serve(() => new Response(), { ...options, port: listener.port });
  await assert.rejects(
    again,
    (error) =>
      isCode(error, 'unavailable') && error.message.includes(`127.0.0.1:${listener.port}`) && /another port/.test(error.hint ?? ''),
  );
});

test('an address that this machine has not is said to be that', async () => {
  await assert.rejects(
    serve(() => new Response(), { ...options, host: '192.0.2.1' }),
    (error) => isCode(error, 'unavailable') && /no such address/.test(error.hint ?? ''),
  );
});

test('a malformed request gets 400 and the server goes on', async () => {
  await using listener = await serve(() => new Response('fine'), options);
  const bad = [
    'GET / HTTP/1.1\r\nHost:\r\n\r\n',
    'GET / HTTP/1.1\r\nHost: a b\r\n\r\n',
    'GET //[ HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n',
    'nonsense\r\n\r\n',
  ];
  for (const head of bad) {
    const socket = connect(listener.port, '127.0.0.1');
    socket.end(head);
    assert.match(await text(socket), /^HTTP\/1\.1 (400|200) /, head);
  }
  assert.equal(await (await fetch(listener.url)).text(), 'fine');
});

test('a handler that throws costs one answer', async () => {
  const handler: Handler = ({ url }) => {
    if (url.endsWith('/bug')) throw new Error('secret detail');
    return new Response('fine');
  };
  await using listener = await serve(handler, options);
  const answer = await fetch(`${listener.url}/bug`);
  assert.deepEqual([answer.status, await answer.text()], [500, 'internal error\n']);
  assert.equal(await (await fetch(listener.url)).text(), 'fine');
});

test('a body that comes too slowly costs its connection, unless its handler takes long ones', async () => {
  const clock = new FakeClock();
  const long: RawHandler = {
    takes: ({ url }) => url === '/long',
    takesLong: true,
    answer: (incoming, outgoing) => void incoming.on('end', () => outgoing.end()).resume(),
  };
  const asked = Promise.withResolvers<void>();
  const handler: Handler = async (request) => {
    asked.resolve();
    return new Response(await request.text());
  };
  await using listener = await serve(handler, { ...options, clock, raw: [long] });
  const begin = (path: string): Socket => {
    const socket = connect(listener.port, '127.0.0.1');
    socket.write(`PUT ${path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Length: 10\r\n\r\n12345`);
    return socket;
  };
  const patient = begin('/long');
  const slow = begin('/short');
  await asked.promise;
  await clock.advance(30_000);
  assert.equal(await text(slow), '');
  patient.end('67890');
  assert.match(await text(patient), /^HTTP\/1\.1 200 /);
});

test('stopping ends event streams and waits for what is under way, but not for ever', async () => {
  const asked = Promise.withResolvers<void>();
  const listener = await serve(
    async (request, connection) => {
      const streaming = { request, connection, clock: systemClock, log: silentLog };
      if (request.url.endsWith('/events')) return eventStream(silence, streaming);
      asked.resolve();
      await new Promise(() => {});
      return new Response();
    },
    { ...options, graceMs: 200 },
  );
  const events = await fetch(`${listener.url}/events`);
  const stuck = fetch(`${listener.url}/stuck`);
  await asked.promise;
  const [said] = await Promise.all([events.text(), assert.rejects(stuck), listener[Symbol.asyncDispose]()]);
  assert.equal(said, 'retry: 1000\n\n');
  await assert.rejects(fetch(listener.url));
});

test('a body that breaks off is cut, not ended', async () => {
  await using listener = await serve((request, connection) => {
    const streaming = { request, connection, clock: systemClock, log: silentLog };
    return new Response(
      bodyOf(async function* chunks() {
        yield Buffer.from('first half');
        throw new Error('gone');
      }, streaming),
    );
  }, options);
  const socket = connect(listener.port, '127.0.0.1').resume();
  socket.write('GET / HTTP/1.1\r\nHost: localhost\r\n\r\n');
  let got = '';
  socket.on('data', (chunk) => (got += chunk.toString()));
  await once(socket, 'close');
  assert.ok(!got.endsWith('0\r\n\r\n'), 'no end of the body was sent');
});

async function* silence({ signal }: { signal?: AbortSignal | undefined }): AsyncGenerator<never> {
  yield await new Promise<never>((_, reject) => signal?.addEventListener('abort', () => reject(signal.reason as Error)));
}

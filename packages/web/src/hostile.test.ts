/** Whatever bytes somebody sends to the port, whole or cut anywhere: they get an answer or are let go of, and everybody else is served. */
import assert from 'node:assert/strict';
import { connect } from 'node:net';
import { test } from 'node:test';
import fc from 'fast-check';
import { systemClock } from '@croft/runtime/clock';
import { silentLog } from '@croft/runtime/log';
import { serve } from './listener.ts';

const preface = 'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n';
const bytes = (max: number): fc.Arbitrary<string> => fc.uint8Array({ maxLength: max }).map((data) => Buffer.from(data).toString('latin1'));
const oneOf = (...texts: string[]): fc.Arbitrary<string> => fc.oneof({ arbitrary: fc.constantFrom(...texts), weight: 8 }, bytes(12));

const lineEnd = fc.constantFrom('\r\n', '\r\n', '\r\n', '\n', '\r', '');
const header = fc
  .tuple(
    oneOf('Host', 'Content-Length', 'Transfer-Encoding', 'Connection', 'Upgrade', 'HTTP2-Settings', 'Expect', 'Range', 'Cookie', 'X'),
    fc.constantFrom(':', ': ', ' : ', ''),
    oneOf(
      'localhost',
      '5',
      '-1',
      '99999999999999999999',
      '0x5',
      'chunked',
      'gzip, chunked',
      'close',
      'upgrade',
      'h2c',
      '100-continue',
      ',',
    ),
    lineEnd,
  )
  .map((parts) => parts.join(''));
const request = fc
  .tuple(
    oneOf('GET', 'POST', 'HEAD', 'CONNECT', 'OPTIONS', 'PRI', 'get'),
    fc.constantFrom(' ', '  ', '\t', ''),
    oneOf('/', '*', '//', '/%00', '/%', '/..%2f', 'http://other.example/', 'localhost:1', '/\u00e9', `/${'x'.repeat(20_000)}`),
    oneOf(' HTTP/1.1', ' HTTP/1.0', ' HTTP/2.0', ' HTTP/9.9', ''),
    lineEnd,
    fc.array(header, { maxLength: 6 }).map((headers) => headers.join('')),
    lineEnd,
    oneOf('', 'hello', '5\r\nhello\r\n0\r\n\r\n', 'ffffffffffffffff\r\n', '5;x=y\r\nhel', '0\r\nTrailer: x\r\n\r\n'),
  )
  .map((parts) => parts.join(''));
/** Length, type, flags, stream and body of a frame of HTTP/2, each of which may lie. */
const frame = fc
  .tuple(fc.nat(0xffff), fc.nat(12), fc.nat(255), fc.nat(7), fc.uint8Array({ maxLength: 40 }))
  .map(([lie, type, flags, stream, body]) => {
    const length = lie % 3 === 0 ? lie : body.length;
    return Buffer.concat([Buffer.from([0, length >> 8, length & 255, type, flags, 0, 0, 0, stream]), body]).toString('latin1');
  });
const http2 = fc.array(frame, { maxLength: 8 }).map((frames) => preface + frames.join(''));
/** A request as it should be, wherever it is cut. */
const wellFormed = 'POST /a HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\nConnection: close\r\n\r\nhello';
const sent = fc.tuple(
  fc.oneof(
    fc.constant(wellFormed),
    bytes(200),
    request,
    fc.tuple(request, request).map((both) => both.join('')),
    http2,
  ),
  fc.array(fc.double({ min: 0, max: 1, noNaN: true }), { maxLength: 3 }),
  fc.boolean(),
);

test('any bytes, cut and broken off anywhere, are answered or let go of, and others are served', async () => {
  await using listener = await serve(async (asked) => new Response(`${asked.method} ${(await asked.text()).length}`), {
    host: '127.0.0.1',
    port: 0,
    log: silentLog,
  });
  const property = fc.asyncProperty(sent, async ([text, cuts, resets]) => {
    const answer = await send(listener.port, pieces(text, cuts), resets);
    if (text === wellFormed && !resets) assert.match(answer, /^HTTP\/1\.1 200 OK\r\n[^]*POST 5/);
    else if (!text.startsWith(preface)) assert.match(answer, /^$|^HTTP\/1\.1 \d{3} /);
  });
  await fc.assert(property, { numRuns: 400 });
  assert.equal(await (await fetch(listener.url, { method: 'POST', body: 'hello' })).text(), 'POST 5');
});

function pieces(text: string, cuts: readonly number[]): string[] {
  const at = [0, ...cuts.map((cut) => Math.floor(cut * text.length)).toSorted((a, b) => a - b), text.length];
  return at.slice(1).map((end, index) => text.slice(at[index], end));
}

/** Resolves with what came back when the connection is closed; rejects when that takes too long. */
async function send(port: number, parts: readonly string[], resets: boolean): Promise<string> {
  const socket = connect({ port, host: '127.0.0.1', noDelay: true, signal: systemClock.deadline(20_000) });
  let answer = '';
  socket.setEncoding('latin1').on('data', (data: string) => (answer += data));
  const closed = new Promise<void>((resolve, reject) => {
    socket.once('error', (error) => (error.name === 'AbortError' ? reject(error) : undefined)); // a reset is an answer too
    socket.once('close', () => resolve());
  });
  for (const part of parts) {
    socket.write(part, 'latin1');
    await new Promise((resolve) => setImmediate(resolve));
  }
  if (resets) socket.resetAndDestroy();
  else socket.end();
  await closed;
  return answer;
}

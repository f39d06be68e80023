/** A server that echoes, and what comes in over a real socket: whole handshakes and frames, and hostile ones. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import { test } from 'node:test';
import { silentLog } from '@croft/runtime/log';
import { serve, type Listener } from './listener.ts';
import { acceptWebSocket, asksForWebSocket, maxMessageBytes, type WebSocket } from './web-socket.ts';

const handshake = [
  'GET /talk?x=1 HTTP/1.1',
  'Host: 127.0.0.1',
  'Connection: keep-alive, Upgrade',
  'Upgrade: WebSocket',
  'Sec-WebSocket-Version: 13',
  'Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==',
];

function serveEcho(): Promise<Listener> {
  const raw = {
    takes: asksForWebSocket,
    answer(incoming, outgoing) {
      const echo = (socket: WebSocket): void => {
        socket.on('message', (data: Buffer, isBinary) => socket.send(data, { binary: isBinary }));
        socket.resume();
      };
      acceptWebSocket(incoming, outgoing).then(echo, () => undefined);
    },
  } satisfies NonNullable<Parameters<typeof serve>[1]['raw']>[number];
  return serve(() => new Response('page'), { host: '127.0.0.1', port: 0, log: silentLog, raw: [raw], graceMs: 200 });
}

/** A frame as a client sends it, masked; `head` over what is right. */
function frame(opcode: number, content: Uint8Array, { first = 0x80 | opcode, masked = true, length = content.length } = {}): Buffer {
  const mask = Buffer.from([1, 2, 3, 4]);
  const long = Buffer.alloc(8);
  long.writeBigUInt64BE(BigInt(length));
  const head = length < 126 ? [length] : length < 65_536 ? [126, ...long.subarray(6)] : [127, ...long];
  head[0] = (head[0] ?? 0) | (masked ? 0x80 : 0);
  const body = masked ? Buffer.concat([mask, content.map((byte, at) => byte ^ (mask[at % 4] ?? 0))]) : content;
  return Buffer.concat([Buffer.from([first, ...head]), body]);
}

interface Line extends Disposable {
  readonly socket: Socket;
  /** What comes until so many bytes are there, or the end. */
  read(atLeast: number): Promise<Buffer>;
}

async function dial({ port }: Listener, lines = handshake): Promise<Line> {
  const socket = connect(port, '127.0.0.1');
  socket.on('error', () => undefined);
  socket.write(`${lines.join('\r\n')}\r\n\r\n`);
  let got = Buffer.alloc(0);
  const read = async (atLeast: number): Promise<Buffer> => {
    while (got.length < atLeast && !socket.readableEnded && !socket.destroyed) {
      const piece = socket.read() as Buffer | null;
      if (piece) got = Buffer.concat([got, piece]);
      else await Promise.race([once(socket, 'readable'), once(socket, 'close')]).catch(() => undefined); // cut
    }
    const all = got;
    got = Buffer.alloc(0);
    return all;
  };
  return { socket, read, [Symbol.dispose]: () => socket.destroy() };
}

async function opened(listener: Listener): Promise<Line> {
  const line = await dial(listener);
  const head = (await line.read(100)).toString();
  assert.match(head, /^HTTP\/1\.1 101 /);
  assert.match(head, /Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK\+xOo=/);
  assert.doesNotMatch(head, /Extensions/, 'nothing is compressed');
  return line;
}

test('text and bytes go both ways, a message may come in pieces, and a ping is answered', async () => {
  await using listener = await serveEcho();
  using line = await opened(listener);
  line.socket.write(frame(1, Buffer.from('hé')));
  assert.deepEqual(await line.read(5), Buffer.from([0x81, 3, ...Buffer.from('hé')]));
  line.socket.write(Buffer.concat([frame(2, Buffer.from('ab'), { first: 0x02 }), frame(9, Buffer.from('?')), frame(0, Buffer.from('c'))]));
  assert.deepEqual(await line.read(8), Buffer.from([0x8a, 1, 63, 0x82, 3, 97, 98, 99]));
});

test('requests that ask for no WebSocket, or wrongly, get an answer of HTTP and nothing is taken over', async () => {
  await using listener = await serveEcho();
  const without = (name: string): string[] => handshake.filter((line) => !line.startsWith(name));
  const wrong: readonly (readonly [string[], RegExp])[] = [
    [without('Upgrade'), /^HTTP\/1\.1 200 /],
    [without('Sec-WebSocket-Key'), /^HTTP\/1\.1 400 /],
    [[...without('Sec-WebSocket-Version'), 'Sec-WebSocket-Version: 12'], /^HTTP\/1\.1 (400|426) /],
    [[...without('Sec-WebSocket-Key'), 'Sec-WebSocket-Key: short'], /^HTTP\/1\.1 400 /],
    [handshake.with(0, 'POST /talk HTTP/1.1'), /^HTTP\/1\.1 405 /],
  ];
  for (const [lines, status] of wrong) {
    using line = await dial(listener, lines);
    assert.match((await line.read(12)).toString(), status, lines.join(' | '));
  }
});

const hostile: readonly (readonly [string, Buffer])[] = [
  ['an unmasked frame', frame(1, Buffer.from('hi'), { masked: false })],
  ['reserved bits', frame(1, Buffer.from('hi'), { first: 0xf1 })],
  ['an unknown opcode', frame(3, Buffer.from('hi'))],
  ['a continuation of nothing', frame(0, Buffer.from('hi'))],
  ['a ping in pieces', frame(9, Buffer.from('hi'), { first: 0x09 })],
  ['a ping of 126 bytes', frame(9, Buffer.alloc(126))],
  ['text that is no UTF-8', frame(1, Buffer.from([0xff, 0xfe]))],
  ['a close with an invalid code', frame(8, Buffer.from([0x03, 0xed]))],
  ['a message that is too large', frame(2, Buffer.alloc(maxMessageBytes + 1))],
  ['a length that nothing could hold', frame(2, Buffer.alloc(10), { length: Number.MAX_SAFE_INTEGER })],
  ['pieces that are too large together', Buffer.concat([frame(2, Buffer.alloc(60_000), { first: 0x02 }), frame(0, Buffer.alloc(60_000))])],
];

for (const [what, bytes] of hostile)
  test(`${what} ends the connection, and others go on`, async () => {
    await using listener = await serveEcho();
    using bystander = await opened(listener);
    using line = await opened(listener);
    line.socket.write(bytes);
    await line.read(1_000); // to its end
    assert.ok(line.socket.readableEnded || line.socket.destroyed);
    bystander.socket.write(frame(1, Buffer.from('ok')));
    assert.deepEqual(await bystander.read(4), Buffer.from([0x81, 2, 111, 107]));
  });

test('a frame that comes byte by byte is understood', async () => {
  await using listener = await serveEcho();
  using line = await opened(listener);
  for (const byte of frame(1, Buffer.from('slow'))) await new Promise((sent) => line.socket.write(Buffer.from([byte]), sent));
  assert.deepEqual(await line.read(6), Buffer.from([0x81, 4, ...Buffer.from('slow')]));
});

test('whoever pings on and on and reads no answer is cut off', async () => {
  await using listener = await serveEcho();
  using line = await opened(listener);
  line.socket.pause();
  const pings = Buffer.concat(Array.from({ length: 8_000 }, () => frame(9, Buffer.alloc(125))));
  for (let sent = 0; !line.socket.destroyed && sent < 200; sent += 1) {
    if (!line.socket.write(pings)) await Promise.race([once(line.socket, 'drain'), once(line.socket, 'close')]).catch(() => undefined);
  }
  assert.ok(line.socket.destroyed || line.socket.errored);
});

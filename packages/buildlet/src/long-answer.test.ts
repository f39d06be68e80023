/** Long answers, cut into pieces at every place and ended at every place. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer, type AddressInfo, type Socket } from 'node:net';
import { test } from 'node:test';
import * as fc from 'fast-check';
import { SECOND, systemClock } from '@croft/runtime/clock';
import { isCode } from '@croft/runtime/errors';
import { askForLong } from './long-answer.ts';

const chunked =
  'HTTP/1.1 200 OK\r\nX-First: 1\r\ntransfer-encoding: Chunked\r\nContent-Length: 3\r\n\r\n' +
  '5\r\nhello\r\nB;of=no;use\r\n, \r\n0\r\n all\r\n00000001\r\n!\r\n0\r\n';
const plain = 'HTTP/1.1 200 OK\nContent-Length: 17\n\nhello, \r\n0\r\n all!';
const body = 'hello, \r\n0\r\n all!';

/** A machine that answers with these writes, one after the other, and then ends the connection, or does what `then` says. */
async function machine(writes: readonly string[], then = (socket: Socket): void => void socket.end()) {
  const heads: string[] = [];
  const server = createServer({ noDelay: true }, (socket) => {
    socket.on('error', () => undefined);
    socket.once('data', async (head) => {
      heads.push(String(head));
      for (const text of writes) await new Promise((resolve) => socket.write(text, resolve));
      then(socket);
    });
  }).listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  return {
    heads,
    /** What came is added to `pieces`, also when the answer fails then. */
    async ask(pieces: string[] = []): Promise<{ status: number; text: string }> {
      const question = { method: 'GET', path: '/x?y=1', headers: { Authorization: 'Basic Og==' } };
      await using answer = await askForLong({ port, password: '' }, question, { signal: systemClock.deadline(20 * SECOND) });
      for await (const piece of answer.body()) pieces.push(piece.toString());
      return { status: answer.status, text: pieces.join('') };
    },
    async [Symbol.asyncDispose]() {
      server.close();
      await once(server, 'close');
    },
  };
}

const unavailable = (error: unknown): boolean => isCode(error, 'unavailable');

test('the body is the same wherever the answer was cut into pieces', async () => {
  for (const answer of [chunked, plain]) {
    for (let at = 1; at < answer.length; at += 1) {
      await using server = await machine([answer.slice(0, at), answer.slice(at)]);
      assert.deepEqual(await server.ask(), { status: 200, text: body }, `cut at ${at}`);
    }
    await using slow = await machine(Array.from(answer));
    assert.deepEqual(await slow.ask(), { status: 200, text: body });
  }
});

test('each chunk is given as one piece, and what had come of one that is cut as well', async () => {
  await using server = await machine(Array.from(chunked));
  const pieces: string[] = [];
  await server.ask(pieces);
  assert.deepEqual(pieces, ['hello', ', \r\n0\r\n all', '!']);
  await using cut = await machine([chunked.slice(0, chunked.indexOf('0\r\n all'))]);
  const came: string[] = [];
  await assert.rejects(cut.ask(came), unavailable);
  assert.deepEqual(came, ['hello', ', \r\n']);
});

test('an answer that ends early is never taken for a whole one', async () => {
  for (const answer of [chunked, plain, `HTTP/1.1 200 OK\r\n\r\n${body} and more`]) {
    for (let end = 1; end < answer.length; end += 1) {
      await using server = await machine([answer.slice(0, end)]);
      await assert.rejects(server.ask(), unavailable, `ends at ${end}`);
    }
  }
});

test('a request names the host, and asks for the end of the connection', async () => {
  await using server = await machine(['HTTP/1.1 404 Not Found\r\nContent-Length: 4\r\n\r\ngone']);
  assert.deepEqual(await server.ask(), { status: 404, text: 'gone' });
  assert.match(
    server.heads[0] ?? '',
    /^GET \/x\?y=1 HTTP\/1\.1\r\nHost: 127\.0\.0\.1:\d+\r\nAuthorization: Basic Og==\r\nConnection: close\r\n\r\n$/,
  );
});

test('nonsense is refused, and lines and heads without end are not read to their end', async () => {
  const onAndOn = (text: string) => (socket: Socket) => {
    const more = (): void => void (socket.destroyed || socket.write(text.repeat(1_000), more));
    more();
  };
  const ok = 'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n';
  for (const answer of [
    '',
    'SSH-2.0-x\r\n',
    'HTTP/1.1 103 Early Hints\r\n\r\n',
    `${ok}x\r\n`,
    `${ok}-1\r\n`,
    `${ok}2\r\nabc\r\n0\r\n`,
    `${ok}\r\n`,
  ]) {
    await using server = await machine(['', answer]);
    await assert.rejects(server.ask(), unavailable, answer);
  }
  for (const [first, rest] of [
    ['HTTP/1.1 200 OK\r\n', 'X-More: and more\r\n'],
    ['', 'HTTP/1.1'],
    [ok, '0'],
    [`${ok}1;`, 'x'],
  ] as const) {
    await using server = await machine([first], onAndOn(rest));
    await assert.rejects(server.ask(), unavailable, `${first}${rest}…`);
  }
});

test('any bytes are an answer or a failure that is told, and a body never more than came', async () => {
  const part = fc.constantFrom(
    'HTTP/1.1 200 OK\r\n',
    'Content-Length: 5\r\n',
    'Transfer-Encoding: chunked\r\n',
    '\r\n',
    '5\r\n',
    'hello',
    '0\r\n',
    'ffffffff\r\n',
    '-',
  );
  const bytes = fc.oneof(
    fc.array(part, { maxLength: 12 }).map((parts) => parts.join('')),
    fc.string({ unit: 'binary', maxLength: 100 }),
  );
  await fc.assert(
    fc.asyncProperty(bytes, async (text) => {
      await using server = await machine([text || '\r']);
      const pieces: string[] = [];
      const answer = await server.ask(pieces).catch((error: unknown) => error);
      assert.ok(unavailable(answer) || typeof (answer as { status: number }).status === 'number');
      assert.ok(pieces.join('').length <= text.length);
    }),
    { numRuns: 150 },
  );
});

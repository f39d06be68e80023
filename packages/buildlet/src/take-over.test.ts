/** Answers after which a connection is somebody else's: cut anywhere, too long, refused, with bytes that came early. */
import assert from 'node:assert/strict';
import { duplexPair, type Duplex } from 'node:stream';
import { test } from 'node:test';
import * as fc from 'fast-check';
import { SECOND, systemClock } from '@croft/runtime/clock';
import { CroftError, errorText, isCode } from '@croft/runtime/errors';
import { takeOver, type TakeOver } from './take-over.ts';

const ask: TakeOver = {
  method: 'POST',
  path: '/connect-ssh',
  headers: { 'Content-Length': '0' },
  refused: ({ line, text }) => new CroftError('unavailable', `refused: ${line}, ${text}`),
};
const ours = 'HTTP/1.1 101 Switching Protocols\r\nUpgrade: ssh\r\nConnection: Upgrade\r\n\r\n';
const gos = 'HTTP/0.0 101 Switching Protocols\r\n\r\n';

interface Answered {
  readonly taken: Promise<Duplex>;
  /** What was asked, once the connection has been answered. */
  asked(): string;
}

/** A machine that answers with these pieces, and ends the connection behind them where told. */
function answered(pieces: readonly (string | Buffer)[], { ends = false, signal = systemClock.deadline(20 * SECOND) } = {}): Answered {
  const [near, far] = duplexPair();
  let text = '';
  far.on('error', () => undefined);
  far.on('data', (piece: Buffer) => (text += piece.toString('latin1')));
  far.once('data', () => {
    for (const piece of pieces) far.write(piece);
    if (ends) far.end();
  });
  const address = { dial: async () => near, name: 'mac-7', user: 'gomote', password: 'sesame' };
  return { taken: takeOver(address, ask, signal), asked: () => text };
}

async function bytesOf(stream: Duplex, count: number): Promise<Buffer> {
  const pieces: Buffer[] = [];
  let bytes = 0;
  for await (const piece of stream as AsyncIterable<Buffer>) {
    pieces.push(piece);
    bytes += piece.length;
    if (bytes >= count) break;
  }
  return Buffer.concat(pieces);
}

test('what came early belongs to whoever takes the connection, wherever it was cut', async () => {
  const early = fc.uint8Array({ minLength: 1, maxLength: 200 });
  const cuts = fc.array(fc.nat(300), { maxLength: 6 });
  await fc.assert(
    fc.asyncProperty(fc.constantFrom(ours, gos), early, cuts, async (head, bytes, at) => {
      const whole = Buffer.concat([Buffer.from(head), bytes]);
      const places = [0, ...at.map((n) => n % whole.length).toSorted((a, b) => a - b), whole.length];
      const pieces = places.slice(1).map((to, n) => whole.subarray(places[n], to));
      const stream = await answered(pieces.filter((piece) => piece.length > 0)).taken;
      assert.deepEqual(await bytesOf(stream, bytes.length), Buffer.from(bytes));
    }),
    { numRuns: 60 },
  );
});

test('the request is to the byte, with the password where one is known', async () => {
  const machine = answered([ours]);
  (await machine.taken).destroy();
  const credentials = Buffer.from('gomote:sesame').toString('base64');
  assert.equal(
    machine.asked(),
    `POST /connect-ssh HTTP/1.1\r\nHost: mac-7\r\nAuthorization: Basic ${credentials}\r\nContent-Length: 0\r\n\r\n`,
  );
});

test('a refusal is told with its status and the beginning of its text', async () => {
  const dial = 'dial tcp 127.0.0.1:22: connect: connection refused\n';
  const refused = answered([`HTTP/1.1 502 Bad Gateway\r\nContent-Length: ${dial.length}\r\n\r\n`, dial]);
  await assert.rejects(refused.taken, /^CroftError: refused: 502 Bad Gateway, dial tcp 127\.0\.0\.1:22: connect: connection refused$/);
  const long = answered([`HTTP/1.1 500 No\r\n\r\n${'x'.repeat(100_000)}`]);
  await assert.rejects(long.taken, (error) => isCode(error, 'unavailable') && errorText(error).length < 5_000);
  await assert.rejects(answered(['HTTP/1.1 400 Bad Request\r\n\r\n'], { ends: true }).taken, /refused: 400 Bad Request, $/);
});

test('whatever else comes is a failure, and a head without end is not read to its end', async () => {
  await assert.rejects(answered(['SSH-2.0-x\r\n\r\n']).taken, /not HTTP/);
  await assert.rejects(answered([ours.slice(0, 30)], { ends: true }).taken, /closed before an answer/);
  await assert.rejects(answered(['HTTP/1.1 101 ok\r\n', 'X-More: and more\r\n'.repeat(2_000)]).taken, /too long/);
  await fc.assert(
    fc.asyncProperty(fc.uint8Array({ maxLength: 300 }), async (bytes) => {
      const stream = await answered([Buffer.from(bytes)], { ends: true }).taken.catch((error: unknown) => error);
      assert.ok(isCode(stream, 'unavailable'));
    }),
    { numRuns: 60 },
  );
});

test('an abort ends the connection and is the reason', async () => {
  const cancel = new AbortController();
  const machine = answered([], { signal: cancel.signal });
  cancel.abort(new Error('nobody wants it'));
  await assert.rejects(machine.taken, /nobody wants it/);
});

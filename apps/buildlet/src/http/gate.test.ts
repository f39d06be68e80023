/** Whatever comes on a connection, and however it is cut into pieces: nothing is lost, and nothing is given to the wrong one. */
import assert from 'node:assert/strict';
import { duplexPair, type Duplex } from 'node:stream';
import { buffer } from 'node:stream/consumers';
import { test } from 'node:test';
import fc from 'fast-check';
import { admit, behindGate } from './gate.ts';

const limits = { maxHeadBytes: 2_000 };
const head = 'POST /connect-ssh HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n';

interface Admitted {
  readonly socket: Duplex;
  /** All that comes, unless it is a gate. */
  readonly all: Promise<Buffer> | undefined;
}

/** What `serve` is given when these pieces come, one after the other. */
async function admitted(pieces: readonly Uint8Array[]): Promise<Admitted | undefined> {
  const [near, far] = duplexPair();
  let served: Admitted | undefined;
  admit(near, (socket) => void (served = { socket, all: behindGate(socket) ? undefined : readAsServer(socket) }), limits);
  for (const piece of pieces) {
    await new Promise((resolve) => far.write(piece, resolve));
    await new Promise(setImmediate);
  }
  far.end();
  if (!served) await new Promise((resolve) => near.once('close', resolve));
  return served;
}

/** Node's HTTP server listens to `data`, at once. */
function readAsServer(socket: Duplex): Promise<Buffer> {
  const pieces: Buffer[] = [];
  socket.on('data', (piece: Buffer) => pieces.push(piece));
  return new Promise((resolve) => socket.once('end', () => resolve(Buffer.concat(pieces))));
}

const cut = (bytes: Buffer, places: readonly number[]): Buffer[] => {
  const at = [0, ...places.map((place) => place % (bytes.length + 1)).toSorted((a, b) => a - b), bytes.length];
  return at
    .slice(1)
    .map((to, index) => bytes.subarray(at[index], to))
    .filter(({ length }) => length > 0);
};

const places = fc.array(fc.nat(), { maxLength: 12 });

test('of a request that takes over the server sees the head alone, and the rest is kept to the byte', async () => {
  await fc.assert(
    fc.asyncProperty(fc.uint8Array({ maxLength: 300 }), places, async (early, at) => {
      const pieces = cut(Buffer.concat([Buffer.from(head), early]), at);
      const { socket: gate } = (await admitted(pieces)) ?? assert.fail('it was not served');
      const held = behindGate(gate) ?? assert.fail('there is no gate');
      assert.equal(String(gate.read()), head);
      assert.equal(gate.read(), null);
      assert.deepEqual(await buffer(held.takeOver()), Buffer.from(early));
      assert.throws(() => held.takeOver(), /gone away/);
    }),
    { numRuns: 150 },
  );
});

const taking = ['POST /connect-ssh', 'POST /connect?', 'POST /listen?', 'POST /sftp?'];

test('everything else goes on as it came', async () => {
  const beginnings = fc.constantFrom(
    '',
    'G',
    'GET / HTTP/1.1\r\n\r\n',
    'POST /connect-ss HTTP/1.1\r\n\r\n',
    'POST /connect',
    `POST /connect-ssh HTTP/1.1\r\nX: ${'y'.repeat(3_000)}`,
  );
  await fc.assert(
    fc.asyncProperty(beginnings, fc.uint8Array({ minLength: 1, maxLength: 300 }), places, async (beginning, rest, at) => {
      const bytes = Buffer.concat([Buffer.from(beginning), rest]);
      const isUndecided = taking.some((text) => Buffer.from(text).subarray(0, bytes.length).equals(bytes.subarray(0, text.length)));
      fc.pre(!isUndecided || bytes.length > limits.maxHeadBytes);
      const { all } = (await admitted(cut(bytes, at))) ?? assert.fail('it was not served');
      assert.deepEqual(await all, bytes);
    }),
    { numRuns: 150 },
  );
});

test('a connection that ends before it is known what it wants is closed, and nobody is told of it', async () => {
  for (const begun of ['', 'P', 'POST /connect-ssh', head.slice(0, -1)])
    assert.equal(await admitted(begun === '' ? [] : [Buffer.from(begun)]), undefined, begun);
});

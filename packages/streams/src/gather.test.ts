import assert from 'node:assert/strict';
import { PassThrough, Readable } from 'node:stream';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { test } from 'node:test';
import fc from 'fast-check';
import { gather, pour } from './gather.ts';
import { NotTaken } from './pour.ts';
import { freeWhole } from './release.ts';

test('whatever comes and however slowly it is read, every byte is given once and in order', () =>
  fc.assert(
    fc.asyncProperty(
      fc.array(fc.tuple(fc.nat({ max: 300_000 }), fc.boolean()), { maxLength: 12 }),
      fc.array(fc.boolean(), { maxLength: 20 }),
      fc.boolean(),
      fc.constantFrom('gathered', 'poured'),
      async (sizes, slow, owns, way) => {
        const pieces = sizes.map(([bytes], at) => Buffer.allocUnsafeSlow(bytes).fill(at + 1));
        const whole = Buffer.concat(pieces);
        const stream = new PassThrough();
        const writing = (async () => {
          for (const [at, piece] of pieces.entries()) {
            if (piece.length > 0) stream.write(piece);
            if (sizes[at]?.[1]) await nextTurn();
          }
          stream.end();
        })();
        const come: Buffer[] = [];
        const gathering = { free: owns ? freeWhole : undefined };
        const take = async (piece: Buffer): Promise<void> => {
          await nextTurn();
          come.push(Buffer.from(piece));
        };
        if (way === 'poured') await pour(stream, (piece) => (slow.shift() ? take(piece) : void come.push(Buffer.from(piece))), gathering);
        else
          for await (const piece of gather(stream, gathering)) {
            if (slow.shift()) await nextTurn();
            come.push(Buffer.from(piece));
          }
        await writing;
        assert.ok(Buffer.concat(come).equals(whole));
      },
    ),
    { numRuns: 60 },
  ));

test('what comes while a piece is in use is given together', async () => {
  const stream = new PassThrough();
  stream.write('a');
  const pieces = gather(stream, {});
  assert.equal(String((await pieces.next()).value), 'a');
  for (const text of ['b', 'c', 'd']) stream.write(text);
  await nextTurn();
  assert.equal(String((await pieces.next()).value), 'bcd');
  stream.write('e');
  assert.equal(String((await pieces.next()).value), 'e');
  stream.end();
  assert.equal((await pieces.next()).done, true);
});

test('a reader that stands still lets no more come than one room holds', async () => {
  let given = 0;
  const stream = new Readable({
    highWaterMark: 16 * 1024,
    read() {
      given += 16 * 1024;
      this.push(Buffer.alloc(16 * 1024));
    },
  });
  const pieces = gather(stream, { free: freeWhole });
  await pieces.next();
  for (let turns = 0; turns < 100; turns += 1) await nextTurn();
  assert.ok(given <= 2 * 256 * 1024 + 64 * 1024, `${given} bytes have come`);
  await pieces.return(undefined);
  assert.ok(stream.destroyed);
});

test('what came before a failure is given, and then the failure', async () => {
  const stream = new PassThrough();
  const pieces = gather(stream, {});
  const first = pieces.next();
  stream.write('before');
  assert.equal(String((await first).value), 'before');
  stream.destroy(new Error('cut'));
  await assert.rejects(pieces.next(), /cut/);
});

test('a stream that closes before its end is a failure, even when it had closed before', async () => {
  for (const isLate of [false, true]) {
    const stream = new PassThrough();
    const read = (): Promise<void> => assert.rejects(gather(stream, {}).next(), /closed/);
    const reading = isLate ? undefined : read();
    stream.destroy();
    await nextTurn();
    await (reading ?? read());
  }
});

test('a reader that leaves early may leave the stream as it is', async () => {
  const stream = new PassThrough();
  stream.write('a');
  for await (const _ of gather(stream, { destroys: false })) break;
  assert.equal(stream.destroyed, false);
  assert.equal(stream.listenerCount('data'), 0);
  stream.write('b');
  assert.equal(String(stream.read()), 'b');
});

test('what is poured comes at once, and while one piece is dealt with the rest waits and comes together', async () => {
  const stream = new PassThrough();
  const got: string[] = [];
  let dealt = Promise.withResolvers<void>();
  let isSlow = false;
  const take = (piece: Buffer): Promise<void> | undefined => {
    got.push(piece.toString());
    return isSlow ? dealt.promise : undefined;
  };
  const poured = pour(stream, take, {});
  await nextTurn();
  stream.write('a');
  assert.deepEqual(got, ['a'], 'before anything else happens');
  isSlow = true;
  for (const text of ['b', 'c', 'd']) stream.write(text);
  await nextTurn();
  assert.deepEqual(got, ['a', 'b']);
  const { resolve } = dealt;
  dealt = Promise.withResolvers();
  resolve();
  await nextTurn();
  assert.deepEqual(got, ['a', 'b', 'cd']);
  stream.end();
  dealt.resolve();
  await poured;
});

test('who does not take a piece is told from a stream that fails, and leaves no listeners', async () => {
  const full = new Error('the disk is full');
  for (const take of [() => Promise.reject(full), () => assert.fail(full)]) {
    const stream = new PassThrough();
    const poured = pour(stream, take, { destroys: false });
    stream.write('a');
    await assert.rejects(poured, (error) => error instanceof NotTaken && error.cause === full);
    assert.deepEqual([stream.destroyed, stream.listenerCount('data')], [false, 0]);
  }
  const cut = new PassThrough();
  const poured = pour(cut, () => undefined, {});
  cut.destroy(new Error('cut'));
  await assert.rejects(poured, /^Error: cut/);
});

import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { test } from 'node:test';
import { gunzipSync } from 'node:zlib';
import fc from 'fast-check';
import { parallelGzip, type Piece } from './parallel-gzip.ts';

async function pack(pieces: readonly (readonly Piece[])[], level = 6): Promise<Buffer> {
  const given = async function* (): AsyncGenerator<readonly Piece[]> {
    yield* pieces;
  };
  return Buffer.concat(await Array.fromAsync(parallelGzip(given(), { level })));
}

/** Numbers in a row: text that compresses, and no two blocks alike. */
function numbers(length: number): Buffer {
  return Buffer.from(Array.from({ length: Math.ceil(length / 8) + 1 }, (_, at) => `${at * 7919} `).join('')).subarray(0, length);
}

test('whatever comes in comes back, from other programs as well, and is one member', async () => {
  for (const size of [0, 1, 32_768, 2_097_151, 2_097_152, 2_097_153, 4_194_304, 9_300_000]) {
    const plain = numbers(size);
    const packed = await pack([[plain.subarray(0, size >> 1)], [], [plain.subarray(size >> 1)]]);
    assert.deepEqual(gunzipSync(packed), plain);
    assert.deepEqual(spawnSync('gzip', ['-dc'], { input: packed, maxBuffer: 1e8 }).stdout, plain);
    assert.deepEqual([...packed.subarray(0, 10)], [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 0xff]);
    const [, told = ''] = /(\d+) +-?[\d.]+% /.exec(spawnSync('gzip', ['-l'], { input: packed }).stdout.toString()) ?? [];
    assert.equal(told, String(size)); // it tells the last member only
  }
});

test('any pieces come back at any level, also where the buffers are used again', async () => {
  const piece = fc.oneof(
    fc.uint8Array(),
    fc.integer({ min: 1, max: 2_200_000 }).map((length) => numbers(length)),
  );
  await fc.assert(
    fc.asyncProperty(
      fc.array(fc.array(piece, { maxLength: 3 }), { maxLength: 5 }),
      fc.integer({ min: 1, max: 9 }),
      async (pieces, level) => {
        assert.ok(gunzipSync(await pack(pieces, level)).equals(Buffer.concat(pieces.flat())));
      },
    ),
    { numRuns: 25 },
  );
});

test('pieces that put themselves there come back between others, also when they are shorter than they said', async () => {
  const filler = fc.record({ length: fc.nat(66_000), more: fc.nat(2_000) });
  const whole = fc.integer({ min: 1, max: 1_100_000 });
  await fc.assert(
    fc.asyncProperty(
      fc.array(fc.oneof({ weight: 9, arbitrary: filler }, { weight: 1, arbitrary: whole }), { maxLength: 80 }),
      async (given) => {
        const plain: Buffer[] = [];
        const pieces = given.map((one, at): Piece => {
          const content = numbers((typeof one === 'number' ? one : one.length) + at).subarray(at);
          plain.push(content);
          return typeof one === 'number'
            ? content
            : { maxBytes: one.length + one.more, fill: (memory: Buffer, start: number) => content.copy(memory, start) };
        });
        assert.ok(gunzipSync(await pack([pieces], 1)).equals(Buffer.concat(plain)));
      },
    ),
    { numRuns: 25 },
  );
});

test('a block is compressed with what came before it', async () => {
  const [once, more] = [numbers(2_097_152), numbers(32_000)];
  const apart = (await pack([[once]])).length + (await pack([[more]])).length;
  const together = (await pack([[Buffer.concat([once, once.subarray(-32_000)])]])).length;
  assert.ok(together < apart - 10_000, `${together} and not ${apart}`);
});

test('pieces may be overwritten once the next are asked for', async () => {
  const scratch = Buffer.alloc(700_000);
  const given = async function* (): AsyncGenerator<readonly Uint8Array[]> {
    for (let round = 1; round <= 12; round += 1) yield [scratch.fill(round)];
  };
  const plain = gunzipSync(Buffer.concat(await Array.fromAsync(parallelGzip(given(), { level: 1 }))));
  for (let round = 1; round <= 12; round += 1)
    assert.ok(plain.subarray((round - 1) * 700_000, round * 700_000).every((byte) => byte === round));
});

test('a failure of the source before the first block is full comes before any byte', async () => {
  const failing = async function* (bytes: number): AsyncGenerator<readonly Uint8Array[]> {
    yield [Buffer.alloc(bytes)];
    throw new Error('gone');
  };
  await assert.rejects(parallelGzip(failing(100), { level: 6 }).next(), { message: 'gone' });
  await assert.rejects(Array.fromAsync(parallelGzip(failing(18_000_000), { level: 6 })), { message: 'gone' });
});

test('what is ready comes although the source stalls, and a reader that stops is let go', { timeout: 20_000 }, async () => {
  const stalling = async function* (): AsyncGenerator<readonly Uint8Array[]> {
    yield [numbers(3_000_000)];
    await new Promise(() => undefined);
  };
  let came = 0;
  for await (const piece of parallelGzip(stalling(), { level: 1 })) if ((came += piece.length) > 1_000) break;
});

test('a reader that stops early closes the source', { timeout: 20_000 }, async () => {
  const closed = Promise.withResolvers<void>();
  const endless = async function* (): AsyncGenerator<readonly Uint8Array[]> {
    try {
      for (;;) yield [numbers(500_000)];
    } finally {
      closed.resolve();
    }
  };
  for await (const _ of parallelGzip(endless(), { level: 1 })) break;
  await closed.promise;
});

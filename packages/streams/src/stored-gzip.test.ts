import assert from 'node:assert/strict';
import { test } from 'node:test';
import { gunzipSync } from 'node:zlib';
import fc from 'fast-check';
import { storedGzip } from './stored-gzip.ts';

async function* from(pieces: readonly Buffer[]): AsyncGenerator<Buffer> {
  yield* pieces;
}

test('any pieces come back whole from gunzip', async () => {
  const piece = fc.oneof(
    fc.uint8Array(),
    fc.integer({ min: 65_530, max: 131_080 }).map((length) => new Uint8Array(length).fill(length)),
  );
  await fc.assert(
    fc.asyncProperty(fc.array(piece, { maxLength: 5 }), async (pieces) => {
      const given = pieces.map((bytes) => Buffer.from(bytes));
      const packed = Buffer.concat(await Array.fromAsync(storedGzip(from(given))));
      assert.deepEqual(gunzipSync(packed), Buffer.concat(given));
    }),
    { numRuns: 50 },
  );
});

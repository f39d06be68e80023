/**
 * A gzip member (RFC 1952) of stored blocks (RFC 1951, 3.2.4): nothing is made smaller, and nothing goes through zlib's thread. For
 * whoever must be sent gzip over a line that is faster than any compression.
 */
import { crc32 } from 'node:zlib';

const header = Buffer.from([0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 4, 0xff]);
const maxBlockBytes = 0xffff;

export async function* storedGzip(pieces: AsyncIterable<Buffer>): AsyncGenerator<Buffer, void> {
  let checksum = 0;
  let length = 0;
  let head: Buffer[] = [header];
  for await (const piece of pieces) {
    yield* head; // not before there is something behind it
    head = [];
    checksum = crc32(piece, checksum);
    length = (length + piece.length) >>> 0;
    for (let at = 0; at < piece.length; at += maxBlockBytes) {
      const block = piece.subarray(at, at + maxBlockBytes);
      yield blockHead(block.length, { last: false });
      yield block;
    }
  }
  yield* head;
  const trailer = Buffer.alloc(8);
  trailer.writeUInt32LE(checksum, 0);
  trailer.writeUInt32LE(length, 4);
  yield Buffer.concat([blockHead(0, { last: true }), trailer]);
}

function blockHead(length: number, { last }: { last: boolean }): Buffer {
  const head = Buffer.alloc(5);
  head[0] = last ? 1 : 0;
  head.writeUInt16LE(length, 1);
  head.writeUInt16LE(length ^ maxBlockBytes, 3);
  return head;
}

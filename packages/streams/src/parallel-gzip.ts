/**
 * One gzip member (RFC 1952), compressed on all cores: blocks are deflated by themselves in zlib's threads, each with the end of the one
 * before as its dictionary, and end on a byte (a sync flush), so that they make one stream in a row.
 */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { availableParallelism } from 'node:os';
import { constants, crc32, createDeflateRaw } from 'node:zlib';
import { free } from './release.ts';

const blockBytes = 1024 * 1024;
/** As far back as deflate (RFC 1951) may point. */
const windowBytes = 32 * 1024;
/** As many threads as Node has for such work. Two blocks more than there are cores: one waits for a core, one to be sent. */
const maxUnderWay = 4;
/** A block of text fits, compressed. */
const chunkSize = 256 * 1024;
/** Smaller than usual makes shorter inner blocks, whose codes fit text better. */
const memLevel = 7;

const header = Buffer.from([0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 0xff]);
const empty = Buffer.alloc(0);
/** An empty block that says it is the last. */
const end = Buffer.from([3, 0]);

/** `usual` is about as large as what other programs make at 6, their usual level: 0.6 % smaller to 0.2 % larger. */
export type GzipLevel = number | 'usual';

/**
 * Node's zlib sees no match of three bytes. Where so many pieces share a block, mostly heads of small files, it must look harder now and
 * then: 7 takes a fifth more time than 6, for 0.3 % less.
 */
const manyPieces = 50;
const harder = { level: 7, every: 4 };

/** A piece that puts itself to where it is compressed, in one block and at once. */
export interface Filler {
  /** Half a block at most. */
  readonly maxBytes: number;
  /** Returns how many bytes it has put there. */
  readonly fill: (memory: Buffer, at: number) => number;
}

export type Piece = Uint8Array | Filler;

/**
 * A piece is copied before the next ones are asked for. Nothing comes out before the first block is full or the pieces have ended; from then
 * on what is ready comes, though the source may stall. A reader that stops early has the source closed behind it.
 * @throws what `pieces` throws
 */
export async function* parallelGzip(
  pieces: AsyncIterable<readonly Piece[]>,
  { level }: { level: GzipLevel },
): AsyncGenerator<Buffer, void> {
  const width = Math.min(availableParallelism() + 2, maxUnderWay);
  const buffers: Buffer[] = [];
  const blocks = blocksOf(pieces, { turns: width, buffers });
  const underWay: Promise<Buffer>[] = [];
  let checksum = 0;
  let length = 0;
  let headSent = false;
  let next: Promise<IteratorResult<Block, void>> | undefined;
  try {
    for (let ended = false; !ended || underWay.length > 0;) {
      if (!ended && !next && underWay.length < width) next = blocks.next();
      const oldest = underWay[0];
      if (oldest && (!next || (await isFirst(oldest, next)))) {
        if (!headSent) yield header;
        headSent = true;
        yield await oldest;
        void underWay.shift();
        continue;
      }
      const block = (await next)?.value;
      next = undefined;
      ended = !block;
      if (!block) continue;
      checksum = crc32(block.block, checksum);
      length = (length + block.block.length) >>> 0;
      const compressed = deflate(block, level === 'usual' ? usualLevel(block) : level);
      compressed.catch(() => undefined); // told where it is awaited
      underWay.push(compressed);
    }
    yield Buffer.concat([headSent ? empty : header, end, trailer(checksum, length)]);
  } finally {
    void blocks.return().catch(() => undefined); // a source that hangs is not waited for
    await Promise.allSettled(underWay);
    for (const { buffer } of buffers) free(buffer); // the collector would leave them while other archives come
  }
}

/** A failure is left to whoever awaits the promise itself. */
async function isFirst(one: Promise<unknown>, other: Promise<unknown>): Promise<boolean> {
  const settled = (promise: Promise<unknown>, first: boolean): Promise<boolean> =>
    promise.then(
      () => first,
      () => first,
    );
  return Promise.race([settled(one, true), settled(other, false)]);
}

interface Block {
  readonly dictionary: Buffer;
  readonly block: Buffer;
  /** Of how many pieces, about. */
  readonly pieces: number;
  /** How many come before it. */
  readonly index: number;
}

function usualLevel({ pieces, index }: Block): number {
  return pieces >= manyPieces && index % harder.every === 0 ? harder.level : 6;
}

/** So many buffers take turns: when a block is asked for, the one that came as many before must be done with. They are all left in `buffers`. */
async function* blocksOf(
  pieces: AsyncIterable<readonly Piece[]>,
  { turns, buffers }: { turns: number; buffers: Buffer[] },
): AsyncGenerator<Block, void> {
  const inTurn = (): Buffer => (buffers[index % turns] ??= Buffer.allocUnsafeSlow(windowBytes + blockBytes));
  let index = 0;
  let buffer = inTurn();
  let start = 0;
  let at = 0;
  let count = 0;
  const cut = function* (): Generator<Block, void> {
    yield { dictionary: buffer.subarray(0, start), block: buffer.subarray(start, at), pieces: count, index };
    count = 1;
    index += 1;
    const next = inTurn();
    start = buffer.copy(next, 0, at - windowBytes, at);
    at = start;
    buffer = next;
  };
  for await (const together of pieces) {
    for (const piece of together) {
      count += 1;
      if (!(piece instanceof Uint8Array)) {
        assert(piece.maxBytes <= blockBytes / 2);
        if (at + piece.maxBytes > start + blockBytes) yield* cut();
        at += piece.fill(buffer, at);
        continue;
      }
      for (let from = 0; from < piece.length;) {
        if (at === start + blockBytes) yield* cut();
        const room = start + blockBytes - at;
        const part = from === 0 && piece.length <= room ? piece : piece.subarray(from, from + room);
        buffer.set(part, at);
        from += part.length;
        at += part.length;
      }
    }
  }
  if (at > start) yield { dictionary: buffer.subarray(0, start), block: buffer.subarray(start, at), pieces: count, index };
}

async function deflate({ block, dictionary }: Block, level: number): Promise<Buffer> {
  const known = dictionary.length > 0 ? { dictionary } : {};
  const stream = createDeflateRaw({ level, memLevel, chunkSize, finishFlush: constants.Z_SYNC_FLUSH, ...known });
  const parts: Buffer[] = [];
  stream.on('data', (part: Buffer) => void parts.push(part));
  stream.end(block);
  await once(stream, 'end');
  const whole = Buffer.concat(parts);
  for (const memory of new Set(parts.map(({ buffer }) => buffer))) free(memory);
  return whole;
}

function trailer(checksum: number, length: number): Buffer {
  const bytes = Buffer.alloc(8);
  bytes.writeUInt32LE(checksum, 0);
  bytes.writeUInt32LE(length, 4);
  return bytes;
}

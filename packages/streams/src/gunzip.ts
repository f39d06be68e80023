/**
 * gzip (RFC 1952) to plain bytes, one member after the other, in bounded memory. Members are read by hand around raw inflate,
 * because Node's own gunzip loses output it has already decoded when something other than a member follows.
 */
import { type Waits } from '@croft/runtime/clock';
import { CroftError, errorText } from '@croft/runtime/errors';
import { createBell } from '@croft/runtime/tasks';
import { crc32, createInflateRaw, type InflateRaw, type ZlibOptions } from 'node:zlib';
import type { ByteInput } from './byte-input.ts';

/** Bytes decoded at a time; larger is faster for large files, and this much may be waiting. */
const chunkSize = 256 * 1024;
/** So much is decoded ahead, by zlib's thread while what came before is dealt with. */
const readableHighWaterMark = 2 * chunkSize;
const maxHeaderFieldBytes = 64 * 1024;

/**
 * Resolves when the first member's header has been read. Whoever stops reading early finds the rest in `input`.
 * @throws CroftError `invalid` with Go's texts: `gzip: invalid header`, `EOF`, `unexpected EOF`, `gzip: invalid checksum`
 */
export async function gunzip(input: ByteInput, waits: Waits): Promise<AsyncGenerator<Buffer, void>> {
  if (await input.atEnd(waits)) throw new CroftError('invalid', 'EOF');
  await readHeader(input, waits);
  return members(input, waits);
}

async function* members(input: ByteInput, waits: Waits): AsyncGenerator<Buffer, void> {
  for (;;) {
    yield* member(input, waits);
    if (await input.atEnd(waits)) return;
    await readHeader(input, waits);
  }
}

async function* member(input: ByteInput, waits: Waits): AsyncGenerator<Buffer, void> {
  let checksum = 0;
  let length = 0;
  for await (const chunk of inflated(input, waits)) {
    checksum = crc32(chunk, checksum);
    length = (length + chunk.length) >>> 0;
    yield chunk;
  }
  const trailer = await input.exactly(8, waits);
  if (trailer.readUInt32LE(0) !== checksum || trailer.readUInt32LE(4) !== length) throw new CroftError('invalid', 'gzip: invalid checksum');
}

async function* inflated(input: ByteInput, waits: Waits): AsyncGenerator<Buffer, void> {
  const inflate = createInflateRaw({ chunkSize, readableHighWaterMark } as ZlibOptions);
  const bell = createBell();
  let failure: Error | undefined;
  inflate.on('readable', bell.ring);
  inflate.on('error', (error) => {
    failure = error;
    bell.ring();
  });
  try {
    for (;;) {
      const chunk = await input.some(waits);
      if (!chunk) throw new CroftError('invalid', 'unexpected EOF');
      const before = inflate.bytesWritten;
      let consumed = false;
      inflate.write(chunk, () => {
        consumed = true;
        bell.ring();
      });
      for (let idle = false; !idle;) {
        idle = consumed;
        for (let out = read(inflate); out; out = read(inflate)) yield out;
        if (failure) throw new CroftError('invalid', `flate: ${errorText(failure)}`, { cause: failure });
        if (!idle) await bell.wait(waits);
      }
      const used = inflate.bytesWritten - before;
      if (used === chunk.length) continue;
      input.unread(chunk.subarray(used));
      return;
    }
  } finally {
    inflate.destroy();
  }
}

function read(inflate: InflateRaw): Buffer | undefined {
  return (inflate.read() as Buffer | null) ?? undefined;
}

async function readHeader(input: ByteInput, waits: Waits): Promise<void> {
  const invalid = (): CroftError => new CroftError('invalid', 'gzip: invalid header');
  const head = await input.exactly(10, waits).catch((error: unknown) => {
    throw waits.signal?.aborted ? error : invalid();
  });
  if (head.readUInt16BE(0) !== 0x1f8b || head[2] !== 8) throw invalid();
  const flags = head[3] ?? 0;
  if (flags & 4) await input.exactly((await input.exactly(2, waits)).readUInt16LE(0), waits);
  for (const named of [8, 16]) {
    if (flags & named) await skipText(input, waits);
  }
  if (flags & 2) await input.exactly(2, waits);
}

async function skipText(input: ByteInput, waits: Waits): Promise<void> {
  for (let length = 0; length < maxHeaderFieldBytes; length += 1) {
    if ((await input.exactly(1, waits))[0] === 0) return;
  }
  throw new CroftError('invalid', 'gzip: invalid header');
}

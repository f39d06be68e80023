/**
 * Unpacks a tar.gz into a directory without ever following a link or leaving it. Contract: the buildlet's `/writetgz`.
 * Files are written synchronously, a chunk at a time with a turn of the event loop between: for many small files the hops
 * through the event loop cost more than the disk.
 */
import { SECOND } from '@croft/runtime/clock';
import { CroftError, isCode } from '@croft/runtime/errors';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { openByteInput } from './byte-input.ts';
import { gunzip } from './gunzip.ts';
import { release } from './release.ts';
import { TarParser } from './tar-parser.ts';
import { TreeWriter } from './tree-writer.ts';

export interface UnpackLimits {
  /** Of the archive after decompression. */
  readonly bytes: number;
  readonly entries: number;
  /** Decompressed bytes for each compressed one, counted from the first MiB on. */
  readonly ratio?: number;
}

export interface UnpackOptions {
  readonly signal?: AbortSignal | undefined;
  readonly limits?: UnpackLimits;
  /** Later modification times become this, epoch ms. */
  readonly now: number;
}

export interface Unpacked {
  readonly entries: number;
  /** Content written to files. */
  readonly bytes: number;
}

const ratioFromBytes = 1024 * 1024;

/**
 * `root` must exist. What was written before a failure stays. After success the source has been read to its end; after a
 * failure it is left where it stands, neither read on nor closed.
 * @throws CroftError `invalid` for a bad archive, `exhausted` at a limit or when the disk is full, `internal` for another
 * failure of the system, whose code is found in `cause`
 */
export async function unpackTarGz(source: AsyncIterable<Uint8Array>, root: string, options: UnpackOptions): Promise<Unpacked> {
  const input = openByteInput(source);
  const waits = { signal: options.signal };
  const writer = new TreeWriter(root, { maxMtime: options.now / SECOND, limits: options.limits });
  try {
    const plain = await gunzip(input, waits).catch(rethrown('requires gzip-compressed body'));
    await unpack(plain, writer, (size) => {
      options.signal?.throwIfAborted();
      if (options.limits) checkSize(size, input.received, options.limits);
    });
    while (await input.some(waits));
    return { entries: writer.entries, bytes: writer.bytes };
  } finally {
    writer.close();
  }
}

async function unpack(plain: AsyncGenerator<Buffer, void>, writer: TreeWriter, check: (size: number) => void): Promise<void> {
  const parser = new TarParser(writer);
  let size = 0;
  try {
    while (!parser.ended) {
      const next = await plain.next().catch(rethrown('tar error'));
      if (next.done) break;
      size += next.value.length;
      check(size);
      parser.push(next.value);
      release(next.value);
      await nextTurn();
    }
  } finally {
    await plain.return();
  }
  parser.end();
  writer.finish();
}

function checkSize(size: number, compressed: number, { bytes, ratio }: UnpackLimits): void {
  if (size > bytes) throw new CroftError('exhausted', `the archive is larger than ${bytes} bytes when decompressed`);
  if (ratio !== undefined && size > ratioFromBytes && size > compressed * ratio) {
    throw new CroftError('exhausted', `the archive decompresses to more than ${ratio} times its size`);
  }
}

function rethrown(doing: string): (error: unknown) => never {
  return (error) => {
    throw isCode(error, 'invalid') ? new CroftError('invalid', `${doing}: ${error.message}`, { cause: error }) : error;
  };
}

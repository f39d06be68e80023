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
  /** Decompressed bytes for each compressed one; counted when there are this many. */
  readonly ratio?: { readonly most: number; readonly fromBytes: number };
}

export interface UnpackOptions {
  readonly signal?: AbortSignal | undefined;
  readonly limits?: UnpackLimits;
  /** Called before so many bytes of it, decompressed, are written; what it throws ends the unpacking. */
  readonly room?: (size: number) => Promise<void>;
  /** Links whose target leaves the tree are left out, as Go's buildlet leaves out all links; otherwise they are a failure. */
  readonly leavesOutLinks?: boolean;
  /** `root` is absolute and holds no links: one that comes to stand in it meanwhile is not followed. */
  readonly rootIsReal?: boolean;
  /** Later modification times become this, epoch ms. */
  readonly now: number;
}

export interface Unpacked {
  readonly entries: number;
  /** Content written to files. */
  readonly bytes: number;
  /** Files whose modification time could not be set. */
  readonly untimed: number;
  /** Links that were left out. */
  readonly leftOut: number;
}

/**
 * `root` must exist. What was written before a failure stays. After success the source has been read to its end; after a
 * failure it is left where it stands, neither read on nor closed.
 * @throws CroftError `invalid` for a bad archive, `exhausted` at a limit or when the disk is full, `internal` for another
 * failure of the system, whose code is found in `cause`
 */
export async function unpackTarGz(source: AsyncIterable<Uint8Array>, root: string, options: UnpackOptions): Promise<Unpacked> {
  const input = openByteInput(source);
  const waits = { signal: options.signal };
  const { limits, leavesOutLinks = false, rootIsReal = false } = options;
  const writer = new TreeWriter(root, { maxMtime: options.now / SECOND, limits, leavesOutLinks, rootIsReal });
  const check = async (size: number): Promise<void> => {
    options.signal?.throwIfAborted();
    if (limits) checkSize(size, input.received, limits);
    await options.room?.(size);
  };
  try {
    const plain = await gunzip(input, waits).catch(rethrown('requires gzip-compressed body'));
    await unpack(plain, writer, check);
    while (await input.some(waits));
    const { entries, bytes, untimed, leftOut } = writer;
    return { entries, bytes, untimed, leftOut };
  } finally {
    writer.close();
  }
}

async function unpack(plain: AsyncGenerator<Buffer, void>, writer: TreeWriter, check: (size: number) => Promise<void>): Promise<void> {
  const parser = new TarParser(writer);
  let size = 0;
  try {
    while (!parser.ended) {
      const next = await plain.next().catch(rethrown('tar error'));
      if (next.done) break;
      size += next.value.length;
      await check(size);
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
  if (ratio && size > ratio.fromBytes && size > compressed * ratio.most) {
    throw new CroftError('exhausted', `the archive decompresses to more than ${ratio.most} times its size`);
  }
}

function rethrown(doing: string): (error: unknown) => never {
  return (error) => {
    throw isCode(error, 'invalid') ? new CroftError('invalid', `${doing}: ${error.message}`, { cause: error }) : error;
  };
}

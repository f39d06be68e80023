/** The digest of a file's content, read as fast as its size allows. */
import { createHash, hash } from 'node:crypto';
import fs from 'node:fs';
import { open } from 'node:fs/promises';
import { readFlags } from './read-flags.ts';
import type { SystemPath } from './walk.ts';

export interface Digested {
  readonly at: SystemPath;
  /** As it was seen; it may have grown since. */
  readonly size: number;
  readonly signal: AbortSignal;
}

/** Up to here a file is read at once: the hops through the event loop cost more than the disk. */
const atOnceBytes = 64 * 1024;
const pieceBytes = 256 * 1024;

/** In hex. @throws what the system says */
export async function digestOf(algorithm: 'sha1' | 'sha256', { at, size, signal }: Digested): Promise<string> {
  const small = size <= atOnceBytes ? readSmall(at, size) : undefined;
  if (small) return hash(algorithm, small);
  await using file = await open(at, readFlags);
  const sum = createHash(algorithm);
  const piece = Buffer.allocUnsafe(pieceBytes);
  for (let read = -1; read !== 0;) {
    signal.throwIfAborted();
    ({ bytesRead: read } = await file.read(piece, 0, pieceBytes, null));
    sum.update(piece.subarray(0, read));
  }
  return sum.digest('hex');
}

/** Undefined when it has grown beyond its size. */
function readSmall(at: SystemPath, size: number): Buffer | undefined {
  const fd = fs.openSync(at, readFlags);
  try {
    const content = Buffer.allocUnsafe(size + 1);
    const read = fs.readSync(fd, content, 0, size + 1, null);
    return read > size ? undefined : content.subarray(0, read);
  } finally {
    fs.closeSync(fd);
  }
}

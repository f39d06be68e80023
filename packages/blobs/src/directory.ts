/**
 * Blobs as files, `ab/cdef…` by their hash. A file is written under a name of its own, synchronised and then renamed, so a kill or a
 * loss of power leaves either a whole blob or a draft, which the next start removes. One process at a time.
 */
import { createHash } from 'node:crypto';
import { renameSync, statSync, unlinkSync } from 'node:fs';
import { mkdir, open, readdir, rm, stat, statfs, type FileHandle } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import type { Clock, Waits } from '@croft/runtime/clock';
import { CroftError, errorText, systemCode } from '@croft/runtime/errors';
import type { Random } from '@croft/runtime/random';
import { isSha256, type Blob, type BlobStore, type PutOptions, type Range, type Sweep, type Swept } from './blobs.ts';

export interface DirectoryOptions {
  /** Free space below which nothing is taken any more, bytes. */
  readonly lowWaterBytes: number;
  readonly clock: Clock;
  readonly random: Random;
}

const pieceBytes = 256 * 1024;
/** Free space is looked at again after this much was written. */
const lookEveryBytes = 64 * 1024 * 1024;
/** Hashes asked about at a time. */
const batch = 500;

/** Makes the directory when missing, and removes what a predecessor had begun and not ended. */
export async function openDirectoryBlobs(dir: string, options: DirectoryOptions): Promise<BlobStore> {
  const drafts = join(dir, 'drafts');
  await rm(drafts, { recursive: true, force: true });
  await mkdir(drafts, { recursive: true, mode: 0o700 });
  const pathOf = (sha256: string): string => {
    if (!isSha256(sha256)) throw new CroftError('invalid', `${JSON.stringify(sha256.slice(0, 80))} is not a SHA-256`);
    return join(dir, sha256.slice(0, 2), sha256.slice(2));
  };
  return {
    async put(content, limits) {
      const draft = join(drafts, options.random.hex(16));
      try {
        const blob = await writeDraft(draft, content, { ...options, ...limits, dir });
        await publish(draft, pathOf(blob.sha256));
        return blob;
      } catch (error) {
        await rm(draft, { force: true });
        const full = ['ENOSPC', 'EDQUOT'].includes(systemCode(error) ?? '');
        throw full && !(error instanceof CroftError)
          ? new CroftError('exhausted', 'store a blob: the disk is full', { cause: error })
          : error;
      }
    },
    async find(sha256) {
      const found = await stat(pathOf(sha256)).catch(unlessMissing);
      return found && { sha256, bytes: found.size };
    },
    read: (sha256, range = { from: 0 }) => readFile(pathOf(sha256), range),
    remove: (sha256) => rm(pathOf(sha256), { force: true }),
    sweep: (sweep, waits) => sweepDirectory(dir, sweep, waits),
  };
}

type Draft = DirectoryOptions & PutOptions & { readonly dir: string };

async function writeDraft(path: string, content: AsyncIterable<Uint8Array>, draft: Draft): Promise<Blob> {
  const { maxBytes, clock, signal } = draft;
  await using file = await open(path, 'wx', 0o600);
  const hash = createHash('sha256');
  let bytes = 0;
  let looked = -lookEveryBytes;
  for await (const piece of content) {
    signal?.throwIfAborted();
    if (bytes + piece.length > maxBytes) throw new CroftError('exhausted', `store a blob: it is larger than ${maxBytes} bytes`);
    if (bytes - looked >= lookEveryBytes) await checkSpace(draft);
    if (bytes - looked >= lookEveryBytes) looked = bytes;
    hash.update(piece);
    await writeAll(file, piece);
    bytes += piece.length;
  }
  const now = clock.now() / 1_000;
  await file.utimes(now, now);
  await file.sync();
  return { sha256: hash.digest('hex'), bytes };
}

async function writeAll(file: FileHandle, piece: Uint8Array): Promise<void> {
  for (let at = 0; at < piece.length;) at += (await file.write(piece, at)).bytesWritten;
}

async function checkSpace({ dir, lowWaterBytes }: Draft): Promise<void> {
  const { bavail, bsize } = await statfs(dir);
  if (bavail * bsize >= lowWaterBytes) return;
  throw new CroftError('exhausted', `store a blob: less than ${lowWaterBytes} bytes are free on ${dir}`, { hint: 'Free some disk space.' });
}

/** The rename is synchronous, so that no sweep comes between the look at a file and its removal. */
async function publish(draft: string, path: string): Promise<void> {
  const shelf = dirname(path);
  if (await mkdir(shelf, { recursive: true, mode: 0o700 })) await syncDirectory(dirname(shelf));
  renameSync(draft, path);
  await syncDirectory(shelf);
}

async function syncDirectory(path: string): Promise<void> {
  await using directory = await open(path);
  await directory.sync();
}

async function* readFile(path: string, { from, to = Infinity }: Range): AsyncGenerator<Buffer, void> {
  await using file = await open(path).catch((error: unknown) => {
    throw systemCode(error) === 'ENOENT' ? new CroftError('not-found', 'the bytes asked for are not stored any more') : unreadable(error);
  });
  for (let at = from; at < to;) {
    const wanted = Buffer.allocUnsafe(Math.min(pieceBytes, to - at));
    const { bytesRead, buffer } = await file.read(wanted, 0, null, at).catch((error: unknown) => {
      throw unreadable(error);
    });
    if (bytesRead === 0) return;
    at += bytesRead;
    yield buffer.subarray(0, bytesRead);
  }
}

function unreadable(error: unknown): CroftError {
  return new CroftError('internal', `read a blob: ${errorText(error)}`, { cause: error });
}

async function sweepDirectory(dir: string, { needed, putBefore }: Sweep, { signal }: Waits): Promise<Swept> {
  let blobs = 0;
  let bytes = 0;
  for (const shelf of (await readdir(dir)).filter((name) => /^[0-9a-f]{2}$/.test(name))) {
    const hashes = (await readdir(join(dir, shelf))).map((rest) => shelf + rest).filter(isSha256);
    for (let at = 0; at < hashes.length; at += batch) {
      signal?.throwIfAborted();
      const part = hashes.slice(at, at + batch);
      const kept = await needed(part);
      for (const hash of part.filter((candidate) => !kept.has(candidate))) {
        const size = removeOld(join(dir, shelf, hash.slice(2)), putBefore);
        if (size === undefined) continue;
        blobs += 1;
        bytes += size;
      }
    }
  }
  return { blobs, bytes };
}

/** @returns its size when it was removed */
function removeOld(path: string, putBefore: number): number | undefined {
  const found = statSync(path, { throwIfNoEntry: false });
  if (!found || found.mtimeMs >= putBefore) return undefined;
  unlinkSync(path);
  return found.size;
}

function unlessMissing(error: unknown): undefined {
  if (systemCode(error) !== 'ENOENT') throw error;
}

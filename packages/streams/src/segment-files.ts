/** The files of a segment log: how they are named, what a directory of them holds, and cutting them at an offset. */
import { readdir, stat, truncate, unlink } from 'node:fs/promises';
import { join } from 'node:path';
import { CroftError, asCroftError, systemCode } from '@croft/runtime/errors';

export interface Extent {
  /** Offset of the first byte, always a multiple of the segment size. */
  readonly from: number;
  readonly length: number;
}

/**
 * What the directory holds: the unbroken bytes from its first file on. After a power failure a file in the middle may be
 * short; what follows it is removed, as if it had never been appended.
 * @throws CroftError `conflict` when the files were made with another segment size
 */
export async function surveySegments(dir: string, segmentBytes: number): Promise<Extent> {
  const starts = await segmentStarts(dir);
  const from = starts[0] ?? 0;
  let length = from;
  for (const start of starts) {
    const { size } = await stat(segmentPath(dir, start));
    if (start % segmentBytes !== 0 || size > segmentBytes) {
      throw new CroftError('conflict', `open the log in ${dir}: its files are not segments of ${segmentBytes} bytes`);
    }
    if (start !== length) break;
    length = start + size;
  }
  await cutSegments(dir, length);
  return { from, length };
}

/** Makes the files end at `length`, the last file first, so that a kill in between leaves no gap. */
export async function cutSegments(dir: string, length: number): Promise<void> {
  for (const start of (await segmentStarts(dir)).toReversed()) {
    const path = segmentPath(dir, start);
    if (start > length) await unlink(path);
    else return (await stat(path)).size > length - start ? truncate(path, length - start) : undefined;
  }
}

export function segmentPath(dir: string, start: number): string {
  return join(dir, String(start).padStart(16, '0'));
}

export function logFailure(error: unknown, doing: string): CroftError {
  const full = ['ENOSPC', 'EDQUOT', 'EFBIG'].includes(systemCode(error) ?? '');
  if (!full) return asCroftError(error, 'internal', doing);
  return new CroftError('exhausted', `${doing}: the disk is full`, {
    cause: error,
    hint: 'Free disk space; the write can then be repeated.',
  });
}

async function segmentStarts(dir: string): Promise<number[]> {
  const names = await readdir(dir);
  return names
    .filter((name) => /^\d{16}$/.test(name))
    .map(Number)
    .toSorted((a, b) => a - b);
}

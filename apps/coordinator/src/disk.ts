/** Watches the free space of the data directory: below the low-water mark nothing new starts, and everybody is told why. */
import { statfs } from 'node:fs/promises';

export interface DiskState {
  readonly path: string;
  readonly freeBytes: number;
  readonly lowWaterBytes: number;
  readonly ok: boolean;
}

export async function readDisk(path: string, lowWaterBytes: number): Promise<DiskState> {
  const { bavail, bsize } = await statfs(path);
  const freeBytes = bavail * bsize;
  return { path, freeBytes, lowWaterBytes, ok: freeBytes >= lowWaterBytes };
}

export function holdText({ path, freeBytes, lowWaterBytes }: DiskState): string {
  return `no new builds: ${gigabytes(freeBytes)} free on ${path}, ${gigabytes(lowWaterBytes)} wanted; free some space`;
}

function gigabytes(bytes: number): string {
  return `${(bytes / 1e9).toFixed(1)} GB`;
}

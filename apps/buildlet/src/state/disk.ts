/** Free space on the disks of the spools and of the work, and the low-water mark below which no work is taken. */
import { statfs } from 'node:fs/promises';
import type { Clock } from '@croft/runtime/clock';

const freshMs = 500;

export interface DiskState {
  readonly freeBytes: number;
  readonly low: boolean;
}

export interface Disk {
  /** At most half a second old. */
  check(): Promise<DiskState>;
}

/** Of the fullest of the disks that hold these directories. */
export function createDisk(dirs: readonly string[], lowWaterBytes: number, clock: Clock): Disk {
  let known: Promise<DiskState> | undefined;
  let askedAt = -Infinity;
  const ask = async (): Promise<DiskState> => {
    const states = await Promise.all(dirs.map((dir) => statfs(dir)));
    const freeBytes = Math.min(...states.map(({ bavail, bsize }) => bavail * bsize));
    return { freeBytes, low: freeBytes < lowWaterBytes };
  };
  return {
    check() {
      if (!known || clock.monotonic() - askedAt > freshMs) {
        askedAt = clock.monotonic();
        known = ask();
      }
      return known;
    },
  };
}

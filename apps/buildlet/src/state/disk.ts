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
  /** What was seen last, for whoever cannot wait for a disk that is slow to tell; what is older than half a second is looked at anew meanwhile. */
  seen(): Promise<DiskState>;
}

/** Of the fullest of the disks that hold these directories. */
export function createDisk(dirs: readonly string[], lowWaterBytes: number, clock: Clock): Disk {
  let asked: Promise<DiskState> | undefined;
  let askedAt = -Infinity;
  let seen: Promise<DiskState> | undefined;
  const ask = async (): Promise<DiskState> => {
    const states = await Promise.all(dirs.map((dir) => statfs(dir)));
    const freeBytes = Math.min(...states.map(({ bavail, bsize }) => bavail * bsize));
    return { freeBytes, low: freeBytes < lowWaterBytes };
  };
  const check = (): Promise<DiskState> => {
    if (asked && clock.monotonic() - askedAt <= freshMs) return asked;
    askedAt = clock.monotonic();
    const asking = ask();
    asked = asking;
    const keep = (): void => void (seen = asking);
    asking.then(keep, keep); // whoever asked is told of a failure, and from then on whoever wants to know what was seen
    return asking;
  };
  return {
    check,
    seen() {
      const now = check();
      return seen ?? now;
    },
  };
}

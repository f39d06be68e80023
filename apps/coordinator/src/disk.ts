/** The free space of the data directory: below the low-water mark nothing new starts, and everybody is told why. */
import { statfs } from 'node:fs/promises';
import { errorText } from '@croft/runtime/errors';

export interface DiskState {
  readonly path: string;
  readonly freeBytes: number;
  readonly lowWaterBytes: number;
  readonly ok: boolean;
}

export interface Disk {
  readonly state: () => DiskState;
  /** Why nothing may start, if so. */
  readonly hold: () => string | undefined;
  /** Looks again. @returns whether work was stopped or may go on by that */
  look(): Promise<boolean>;
}

export async function openDisk({ path, lowWater }: { path: string; lowWater: () => number }): Promise<Disk> {
  let freeBytes = 0;
  let hold: string | undefined;
  const look = async (): Promise<boolean> => {
    const before = hold !== undefined;
    try {
      const { bavail, bsize } = await statfs(path);
      const lowWaterBytes = lowWater();
      freeBytes = bavail * bsize;
      hold = freeBytes >= lowWaterBytes ? undefined : lowText({ path, freeBytes, lowWaterBytes });
    } catch (error) {
      hold = `no new builds: the free space of ${path} cannot be read: ${errorText(error)}`;
    }
    return before !== (hold !== undefined);
  };
  await look();
  return { state: () => ({ path, freeBytes, lowWaterBytes: lowWater(), ok: hold === undefined }), hold: () => hold, look };
}

function lowText({ path, freeBytes, lowWaterBytes }: { path: string; freeBytes: number; lowWaterBytes: number }): string {
  return `no new builds: ${gigabytes(freeBytes)} free on ${path}, ${gigabytes(lowWaterBytes)} wanted; free some space`;
}

function gigabytes(bytes: number): string {
  return `${(bytes / 1e9).toFixed(1)} GB`;
}

/** Watches the free space of the data directory: below the low-water mark nothing new starts, and everybody is told why. */
import { statfs } from 'node:fs/promises';
import { SECOND, type Clock, type Waits } from '@croft/runtime/clock';

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
  /** Looks again and again; `onChange` is called when it went below the mark or came back. */
  watch(waits: Waits, onChange: () => void): Promise<void>;
}

const lookMs = 5 * SECOND;

export async function openDisk({ path, lowWaterBytes }: { path: string; lowWaterBytes: number }, clock: Clock): Promise<Disk> {
  let state = await readDisk(path, lowWaterBytes);
  return {
    state: () => state,
    hold: () => (state.ok ? undefined : holdText(state)),
    async watch(waits, onChange) {
      for (;;) {
        await clock.sleep(lookMs, waits);
        const before = state.ok;
        state = await readDisk(path, lowWaterBytes);
        if (state.ok !== before) onChange();
      }
    },
  };
}

async function readDisk(path: string, lowWaterBytes: number): Promise<DiskState> {
  const { bavail, bsize } = await statfs(path);
  const freeBytes = bavail * bsize;
  return { path, freeBytes, lowWaterBytes, ok: freeBytes >= lowWaterBytes };
}

function holdText({ path, freeBytes, lowWaterBytes }: DiskState): string {
  return `no new builds: ${gigabytes(freeBytes)} free on ${path}, ${gigabytes(lowWaterBytes)} wanted; free some space`;
}

function gigabytes(bytes: number): string {
  return `${(bytes / 1e9).toFixed(1)} GB`;
}

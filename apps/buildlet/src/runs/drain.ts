/**
 * Moves what a command writes from its pipe into its spool. It stops reading while too much is unacknowledged or the disk is
 * low, so that the command waits in its write; nothing is dropped but what exceeds the run's output limit.
 */
import type { Clock } from '@croft/runtime/clock';
import { isCode } from '@croft/runtime/errors';
import { createBell } from '@croft/runtime/tasks';
import type { SegmentLog } from '@croft/streams/segment-log';
import type { Disk } from '../state/disk.ts';
import type { OutputSource } from '../commands/command.ts';
import { pumpPipe } from '../commands/pump.ts';

const retryMs = 500;

export interface DrainLimits {
  readonly outputLimitBytes: number;
  readonly spoolLimitBytes: number;
}

export interface Drain {
  /** Resolves when the pipe is empty and closed and everything is in the spool; rejects when the spool cannot be written. */
  readonly done: Promise<void>;
  /** Room was made in the spool. */
  roomMade(): void;
  /**
   * The tree is dead: at most a pipeful is left, which is stored without regard to the marks. If a process that could not be
   * killed holds the pipe open, it is abandoned after 2 s.
   */
  finish(): Promise<void>;
}

export interface DrainParts {
  /** The output, which the drain takes over. */
  readonly source: OutputSource;
  readonly spool: SegmentLog;
  readonly limits: DrainLimits;
  readonly acked: () => number;
  readonly onOverLimit: () => void;
  readonly disk: Disk;
  readonly clock: Clock;
  /** Aborted when the buildlet ends at once: what is still unwritten is given up. */
  readonly signal: AbortSignal;
}

export function startDrain(parts: DrainParts): Drain {
  const { source, spool, limits, acked, onOverLimit, disk, clock, signal } = parts;
  const room = createBell();
  let treeIsDead = false;
  let over = false;

  const mayStore = async (): Promise<void> => {
    while (!treeIsDead && spool.length - acked() > limits.spoolLimitBytes) await room.wait({ signal });
    while (!treeIsDead && (await disk.check()).low) await clock.sleep(retryMs, { signal });
  };
  const store = async (piece: Buffer): Promise<void> => {
    for (;;) {
      await mayStore();
      try {
        await spool.append(piece);
        break;
      } catch (error) {
        if (!isCode(error, 'exhausted')) throw error;
        await clock.sleep(retryMs, { signal });
      }
    }
  };
  const pump = pumpPipe(source, async (piece) => {
    if (over) return; // read on, so that nobody waits in a write; the tree is being killed
    const left = limits.outputLimitBytes - spool.length;
    await store(piece.subarray(0, left));
    over = piece.length > left;
    if (over) onOverLimit();
  });
  const { done } = pump;
  done.catch(() => {}); // awaited by whoever ends the run

  return {
    done,
    roomMade: () => room.ring(),
    async finish() {
      treeIsDead = true;
      room.ring();
      await pump.finish(clock);
    },
  };
}

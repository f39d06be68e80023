/**
 * Moves what a command writes from its pipe into its spool. It stops reading while too much is unacknowledged or the disk is
 * low, so that the command waits in its write; nothing is dropped but what exceeds the run's output limit.
 */
import type { Clock } from '@croft/runtime/clock';
import { isCode } from '@croft/runtime/errors';
import type { Disk } from '../state/disk.ts';
import type { OutputSource } from '../commands/command.ts';
import { pumpPipe } from '../commands/pump.ts';
import type { RunOutput } from './outputs.ts';

const retryMs = 500;

/** How much a run may write, to all its outputs together. */
export interface Allowance {
  /** @returns how many of these bytes are within it */
  take(bytes: number): number;
}

export function createAllowance(bytes: number): Allowance {
  let left = bytes;
  return {
    take(wanted) {
      const taken = Math.min(wanted, left);
      left -= taken;
      return taken;
    },
  };
}

export interface Drain {
  /** Resolves when the pipe is empty and closed and everything is in the spool; rejects when the spool cannot be written. */
  readonly done: Promise<void>;
  /**
   * The tree is dead: at most a pipeful is left, which is stored without regard to the marks. If a process that could not be
   * killed holds the pipe open, it is abandoned after 2 s.
   */
  finish(): Promise<void>;
}

export interface DrainParts {
  /** The output, which the drain takes over. */
  readonly source: OutputSource;
  readonly output: RunOutput;
  readonly allowance: Allowance;
  readonly spoolLimitBytes: number;
  readonly onOverLimit: () => void;
  readonly disk: Pick<Disk, 'seen'>;
  readonly clock: Clock;
  /** Aborted when the buildlet ends at once: what is still unwritten is given up. */
  readonly signal: AbortSignal;
}

export function startDrain(parts: DrainParts): Drain {
  const { source, output, allowance, spoolLimitBytes, onOverLimit, disk, clock, signal } = parts;
  const { spool, room } = output;
  let treeIsDead = false;
  let over = false;

  const mayStore = async (): Promise<void> => {
    while (!treeIsDead && spool.length - output.acked > spoolLimitBytes) await room.wait({ signal });
    while (!treeIsDead && (await disk.seen()).low) await clock.sleep(retryMs, { signal });
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
    const kept = allowance.take(piece.length);
    await store(piece.subarray(0, kept));
    over = piece.length > kept;
    if (over) onOverLimit();
  });
  const { done } = pump;
  done.catch(() => {}); // awaited by whoever ends the run

  return {
    done,
    async finish() {
      treeIsDead = true;
      room.ring();
      await pump.finish(clock);
    },
  };
}

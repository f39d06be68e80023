/** What a run has written, and where: everything to one place, or standard error to one of its own. */
import type { RunSpec } from '@croft/protocol/runs';
import { createBell, type Bell } from '@croft/runtime/tasks';
import { openSegmentLog, type SegmentLog } from '@croft/streams/segment-log';
import type { Records } from './records.ts';

/** Bytes with offsets from 0, and how many of them are stored elsewhere. */
export interface RunOutput {
  readonly spool: SegmentLog;
  readonly acked: number;
  /** Rings when what was acknowledged makes room. */
  readonly room: Bell;
  ack(to: number): Promise<void>;
}

export interface RunOutputs {
  readonly output: RunOutput;
  /** Where standard error is not the same. */
  readonly stderr: RunOutput | undefined;
}

/** Those of a new run, or of one that is on disk. */
export async function openOutputs(records: Records, id: string, { pty, stderr }: RunSpec): Promise<RunOutputs> {
  const output = createOutput(await openSegmentLog(records.spoolDir(id), { writesLittleAtOnce: pty !== undefined }));
  return { output, stderr: stderr && createOutput(await openSegmentLog(records.spoolDir(id, 'stderr'))) };
}

export function createOutput(spool: SegmentLog): RunOutput {
  const room = createBell();
  let acked = spool.from;
  return {
    spool,
    room,
    get acked() {
      return acked;
    },
    async ack(to) {
      acked = Math.max(acked, Math.min(to, spool.length));
      await spool.dropBefore(acked);
      room.ring();
    },
  };
}

export function spoolsOf({ output, stderr }: RunOutputs): SegmentLog[] {
  return stderr ? [output.spool, stderr.spool] : [output.spool];
}

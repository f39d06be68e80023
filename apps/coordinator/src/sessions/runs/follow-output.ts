/** A run's output as it comes, over lost lines; what nobody will ask for again is let go, so that the spool never stops the command. */
import type { Waits } from '@croft/runtime/clock';
import { isCode } from '@croft/runtime/errors';
import { NotTaken } from '@croft/streams/pour';
import { liveOutput } from '../../builds/live-output.ts';
import { keepAsking, waitOut, type RunPlace } from './run-place.ts';

export interface OutputWish {
  readonly from: number;
  readonly stream?: 'stderr' | undefined;
  /** So much stays behind what was given, for whoever comes back. */
  readonly keptBytes: number;
}

export interface Piece {
  readonly from: number;
  readonly bytes: Buffer;
}

/** What is kept is at most this much more: it is let go in steps and not with each key. */
const stepOfKept = 1 / 4;

/** As `Take`, with offsets. A piece that begins later than the one before ended: what lies between was let go by somebody else. */
export type TakePiece = (piece: Piece) => Promise<unknown> | undefined;

/**
 * From an offset on until the run has ended and all was taken.
 * @throws CroftError `not-found` when its machine does not know it any more; what `take` fails with
 */
export async function followOutput(place: RunPlace, wish: OutputWish, take: TakePiece, { signal }: Waits): Promise<void> {
  const { buildlet, epoch, id, clock } = place;
  const { from, stream, keptBytes } = wish;
  let at = from;
  let kept = 0;
  const letGo = async (taking: Promise<unknown> | undefined): Promise<void> => {
    await taking;
    kept = at - keptBytes;
    await keepAsking(() => buildlet.ack(id, kept, epoch, { signal, stream }), place, { signal });
  };
  for (let failures = 0; ; failures += 1) {
    const takeOne = (bytes: Buffer): Promise<unknown> | undefined => {
      failures = 0;
      const taking = take({ from: at, bytes });
      at += bytes.length;
      return at - keptBytes - kept < keptBytes * stepOfKept ? taking : letGo(taking);
    };
    try {
      return await liveOutput(at, takeOne, { id, stream, buildlet, clock, signal });
    } catch (error) {
      if (error instanceof NotTaken) throw error.cause;
      if (isCode(error, 'not-found')) at = await keptFrom(place, { at, stream, gone: error }, { signal });
      else await waitOut(error, failures, { ...place, signal });
    }
  }
}

interface Missed extends Pick<OutputWish, 'stream'> {
  readonly at: number;
  readonly gone: unknown;
}

/** Somebody else who reads it was quicker and let go of what was not given here yet. */
async function keptFrom(place: RunPlace, { at, stream, gone }: Missed, waits: Waits): Promise<number> {
  const run = await keepAsking(() => place.buildlet.run(place.id, waits), place, waits);
  if (typeof run === 'string') throw gone;
  const first = (stream === 'stderr' ? run.stderr : run.output)?.from ?? 0;
  if (first <= at) throw gone;
  return first;
}

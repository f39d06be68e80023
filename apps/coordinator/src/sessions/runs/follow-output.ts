/** A run's output as it comes, over lost lines; what nobody will ask for again is let go, so that the spool never stops the command. */
import type { Waits } from '@croft/runtime/clock';
import { isCode } from '@croft/runtime/errors';
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

/**
 * From an offset on until the run has ended and all was given. A piece that begins later than the one before ended: what lies between was
 * let go by somebody else. Each is good only until the next is asked for.
 * @throws CroftError `not-found` when its machine does not know it any more
 */
export async function* followOutput(place: RunPlace, { from, stream, keptBytes }: OutputWish, { signal }: Waits): AsyncGenerator<Piece> {
  const { buildlet, epoch, id, clock } = place;
  let at = from;
  let kept = 0;
  for (let failures = 0; ; failures += 1) {
    try {
      for await (const bytes of liveOutput(at, { id, stream, buildlet, clock, signal })) {
        failures = 0;
        yield { from: at, bytes };
        at += bytes.length;
        if (at - keptBytes - kept < keptBytes * stepOfKept) continue;
        kept = at - keptBytes;
        await buildlet.ack(id, kept, epoch, { signal, stream });
      }
      return;
    } catch (error) {
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

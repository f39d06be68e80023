/** A run's output as it comes, over lost lines; what nobody will ask for again is let go, so that the spool never stops a command. */
import type { Buildlet } from '@croft/buildlet/client';
import type { RunId } from '@croft/domain/names';
import type { Clock, Waits } from '@croft/runtime/clock';
import { CroftError, isCode } from '@croft/runtime/errors';
import { backoffMs, type Random } from '@croft/runtime/random';

/** Where a run is. */
export interface RunPlace {
  readonly buildlet: Buildlet;
  readonly epoch: number;
  readonly id: RunId;
  readonly clock: Clock;
  readonly random: Random;
}

export interface OutputWish {
  readonly from: number;
  readonly stream?: 'stderr' | undefined;
  /** So much stays behind what was read, for whoever comes back. */
  readonly keptBytes: number;
}

/**
 * From an offset on until the run has ended and all was given; each piece is good only until the next one is asked for. What was let go
 * before it could be read is left out.
 */
export async function* followOutput(place: RunPlace, { from, stream, keptBytes }: OutputWish, waits: Waits): AsyncGenerator<Buffer> {
  const { buildlet, epoch, id, clock, random } = place;
  let at = from;
  let kept = from;
  for (let tries = 0; ; tries += 1) {
    try {
      for await (const piece of buildlet.output(id, at, { ...waits, stream })) {
        tries = 0;
        yield piece;
        at += piece.length;
        if (at - kept < 2 * keptBytes) continue;
        kept = at - keptBytes;
        await buildlet.ack(id, kept, epoch, { ...waits, stream });
      }
      return;
    } catch (error) {
      waits.signal?.throwIfAborted();
      if (isCode(error, 'not-found')) at = await spooledFrom(place, { from: at, stream }, waits);
      else if (!isPassing(error)) throw error;
      await clock.sleep(backoffMs(tries, random), waits);
    }
  }
}

/** Worth trying again: the line to the machine may come back. */
export function isPassing(error: unknown): boolean {
  return isCode(error, 'unavailable') || isCode(error, 'timeout');
}

async function spooledFrom({ buildlet, id }: RunPlace, { from, stream }: Omit<OutputWish, 'keptBytes'>, waits: Waits): Promise<number> {
  const run = await buildlet.run(id, waits);
  if (typeof run === 'string') throw new CroftError('not-found', `the run ${id} is not there any more`);
  const first = (stream === 'stderr' ? run.stderr : run.output)?.from ?? 0;
  if (first <= from) throw new CroftError('internal', `the output of run ${id} is not there from ${from} on`);
  return first;
}

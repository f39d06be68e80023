/**
 * The output of a run as it comes. A line on which nothing came for a while is opened again: it may be dead at one end only, and a
 * machine that answers pings on other lines would never be declared lost.
 */
import type { RunId } from '@croft/domain/names';
import type { Buildlet } from '@croft/buildlet/client';
import { anySignal, SECOND, type Clock } from '@croft/runtime/clock';
import { CroftError } from '@croft/runtime/errors';
import { NotTaken, type Take } from '@croft/streams/pour';

export interface LiveOutput {
  readonly id: RunId;
  readonly stream?: 'stderr' | undefined;
  readonly buildlet: Pick<Buildlet, 'pourOutput'>;
  readonly clock: Clock;
  readonly signal?: AbortSignal | undefined;
}

const quietMs = 30 * SECOND;

/** @throws NotTaken, and as `Buildlet.pourOutput` */
export async function liveOutput(from: number, take: Take, { id, stream, buildlet, clock, signal }: LiveOutput): Promise<void> {
  let at = from;
  for (;;) {
    using watch = watchQuiet(clock);
    const takeOne: Take = (chunk) => {
      watch.heard();
      at += chunk.length;
      return take(chunk);
    };
    try {
      return await buildlet.pourOutput(id, at, takeOne, { signal: anySignal(signal, watch.quiet), stream });
    } catch (error) {
      if (error instanceof NotTaken || signal?.aborted || !watch.quiet.aborted) throw error;
    }
  }
}

interface QuietWatch extends Disposable {
  /** Aborted when nothing was heard for `quietMs`. */
  readonly quiet: AbortSignal;
  heard(): void;
}

function watchQuiet(clock: Clock): QuietWatch {
  const quiet = new AbortController();
  let heardAt = clock.monotonic();
  let over = false;
  const lookAfter = (ms: number): void => clock.deadline(ms).addEventListener('abort', look, { once: true });
  const look = (): void => {
    const left = heardAt + quietMs - clock.monotonic();
    if (over) return;
    if (left > 0) lookAfter(left);
    else quiet.abort(new CroftError('unavailable', `nothing came for ${quietMs / SECOND} s`));
  };
  lookAfter(quietMs);
  return {
    quiet: quiet.signal,
    heard() {
      heardAt = clock.monotonic();
    },
    [Symbol.dispose]() {
      over = true;
    },
  };
}

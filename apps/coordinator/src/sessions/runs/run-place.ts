/** Where a run is, and asking there over lost lines. Whoever declares the machine lost, or has no more use for an answer, aborts the signal. */
import type { Buildlet } from '@croft/buildlet/client';
import type { RunId } from '@croft/domain/names';
import type { Run } from '@croft/protocol/runs';
import { SECOND, type Clock, type Waits } from '@croft/runtime/clock';
import { isCode } from '@croft/runtime/errors';
import { backoffMs, type Random } from '@croft/runtime/random';

export interface RunPlace {
  readonly buildlet: Buildlet;
  readonly epoch: number;
  readonly id: RunId;
  readonly clock: Clock;
  readonly random: Random;
}

export type EndedRun = Extract<Run, { state: 'ended' }>;

const waitMs = 20 * SECOND;

/** Repeats what its machine was not reached with. @throws what fails otherwise, and the signal's reason */
export async function keepAsking<T>(call: () => Promise<T>, place: RunPlace, { signal }: Waits): Promise<T> {
  for (let failures = 0; ; failures += 1) {
    try {
      return await call();
    } catch (error) {
      await waitOut(error, failures, { ...place, signal });
    }
  }
}

/** Resolves when it is worth trying again. @throws the signal's reason, or the error where trying again is of no use */
export async function waitOut(error: unknown, failures: number, { clock, random, signal }: RunPlace & Waits): Promise<void> {
  signal?.throwIfAborted();
  if (!isCode(error, 'unavailable') && !isCode(error, 'timeout')) throw error;
  await clock.sleep(backoffMs(failures, random), { signal });
}

/** Waits for its end. Undefined: its machine does not know it any more. */
export async function endOfRun(place: RunPlace, { signal }: Waits): Promise<EndedRun | undefined> {
  const { buildlet, id } = place;
  for (;;) {
    const run = await keepAsking(() => buildlet.run(id, { signal, waitMs }), place, { signal });
    if (typeof run === 'string') return undefined;
    if (run.state === 'ended') return run;
  }
}

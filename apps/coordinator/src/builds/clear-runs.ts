/** Ends and forgets runs on a machine: those of an attempt whose end is stored, and those that earlier holders left behind. */
import type { RunId } from '@croft/domain/names';
import type { Buildlet } from '@croft/buildlet/client';
import { anySignal, MINUTE, type Clock, type Waits } from '@croft/runtime/clock';
import type { Work } from './work.ts';

/** Many times longer than it takes: a machine may tell of thousands of runs and dawdle over each. */
const clearMs = 5 * MINUTE;

/** @param which chosen by their ids */
export async function clearRuns(
  buildlet: Buildlet,
  which: (id: string) => boolean,
  { epoch, clock, signal: given }: { readonly epoch: number; readonly clock: Clock } & Waits,
): Promise<void> {
  const signal = anySignal(given, clock.deadline(clearMs));
  for (const run of await buildlet.runs({ signal })) {
    if (!which(run.id)) continue;
    const id = run.id as RunId;
    if (run.state === 'running') await buildlet.cancel(id, 'left behind by a holder of its machine that has ended', epoch, { signal });
    await buildlet.collect(id, epoch, { signal });
  }
}

/** How the ids of an attempt's runs begin. */
export function runsOf({ build, attempt }: Pick<Work, 'build' | 'attempt'>): string {
  return `${build}.${attempt}.`;
}

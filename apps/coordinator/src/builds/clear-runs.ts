/** Ends and forgets runs on a machine: those of an attempt whose end is stored, and those that earlier attempts left behind. */
import type { Run } from '@croft/protocol/runs';
import type { RunId } from '@croft/domain/names';
import type { Buildlet } from '@croft/buildlet/client';
import { anySignal, MINUTE, type Clock, type Waits } from '@croft/runtime/clock';
import type { Work } from './work.ts';

/** Many times longer than it takes: a machine may tell of thousands of runs and dawdle over each. */
const clearMs = 5 * MINUTE;

/** @param which the attempt's own runs, or all the others */
export async function clearRuns(
  buildlet: Buildlet,
  which: 'own' | 'others',
  { work, clock, signal: given }: { readonly work: Work; readonly clock: Clock } & Waits,
): Promise<void> {
  const signal = anySignal(given, clock.deadline(clearMs));
  const { epoch } = work.lease;
  const own = (run: Run): boolean => run.id.startsWith(`${work.build}.${work.attempt}.`);
  for (const run of await buildlet.runs({ signal })) {
    if (own(run) !== (which === 'own')) continue;
    const id = run.id as RunId;
    if (run.state === 'running') await buildlet.cancel(id, 'left behind by an attempt that has ended', epoch, { signal });
    await buildlet.collect(id, epoch, { signal });
  }
}

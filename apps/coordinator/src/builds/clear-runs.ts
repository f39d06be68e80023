/** Ends and forgets runs on a machine: those of an attempt whose end is stored, and those that earlier attempts left behind. */
import type { Run } from '@croft/protocol/runs';
import type { RunId } from '@croft/domain/names';
import type { Buildlet } from '@croft/buildlet/client';
import type { Waits } from '@croft/runtime/clock';
import type { Work } from './work.ts';

/** @param which the attempt's own runs, or all the others */
export async function clearRuns(
  buildlet: Buildlet,
  which: 'own' | 'others',
  { work, signal }: { readonly work: Work } & Waits,
): Promise<void> {
  const { epoch } = work.lease;
  const own = (run: Run): boolean => run.id.startsWith(`${work.build}.${work.attempt}.`);
  for (const run of await buildlet.runs({ signal })) {
    if (own(run) !== (which === 'own')) continue;
    const id = run.id as RunId;
    if (run.state === 'running') await buildlet.cancel(id, 'left behind by an attempt that has ended', epoch, { signal });
    await buildlet.collect(id, epoch, { signal });
  }
}

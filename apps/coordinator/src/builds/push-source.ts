/** Brings the exact tree of a build's revisions onto its machine: what was there is moved away first, so nothing old shines through. */
import type { Job } from '@croft/domain/job';
import type { RunId } from '@croft/domain/names';
import type { Buildlet } from '@croft/buildlet/client';
import { keepTrying } from './keep-trying.ts';
import type { AttemptRecord, DriverWaits, FarmDeps, Work } from './work.ts';

interface Push {
  readonly work: Work;
  readonly record: AttemptRecord;
  readonly farm: FarmDeps;
  readonly waits: DriverWaits;
}

/** The directory, below the work directory, that holds the tree; the same for each build, since compilers' caches know paths. */
export function sourceDir({ revisions }: Pick<Job, 'revisions'>): string {
  const first = revisions[0];
  if (!first) throw new Error('a job without revisions');
  return first.repo;
}

export async function pushSource(buildlet: Buildlet, { work, record, farm, waits: { signal } }: Push): Promise<void> {
  const { epoch } = work.lease;
  const push = async (): Promise<void> => {
    await tidy(buildlet, work, signal);
    await buildlet.removeAll(['.'], epoch, { signal });
    await buildlet.putTarGz(sourceDir(record), farm.source.tar(record, { signal }), epoch, { signal });
  };
  await keepTrying(push, { work, farm, signal });
}

/** Ends and collects what earlier attempts left on this machine; their ends are stored, or they have been given up. */
async function tidy(buildlet: Buildlet, { build, attempt, lease: { epoch } }: Work, signal: AbortSignal): Promise<void> {
  const others = (await buildlet.runs({ signal })).filter((run) => !run.id.startsWith(`${build}.${attempt}.`));
  for (const run of others) {
    const id = run.id as RunId;
    if (run.state === 'running') await buildlet.cancel(id, 'left behind by an earlier attempt', epoch, { signal });
    await buildlet.collect(id, epoch, { signal });
  }
}

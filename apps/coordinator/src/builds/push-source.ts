/** Brings the exact tree of a build's revisions onto its machine: what was there is moved away first, so nothing old shines through. */
import type { Job } from '@croft/domain/job';
import type { Buildlet } from '@croft/buildlet/client';
import { sourceDir } from '@croft/buildlet/step-spec';
import { CroftError, isCode } from '@croft/runtime/errors';
import { restoreCaches, type Restoring } from '../caches/restore-caches.ts';
import { clearRuns, runsOf } from './clear-runs.ts';
import { keepTrying } from './keep-trying.ts';
import { sourceName } from './source-name.ts';
import type { FarmDeps, SourceOf, Work } from './work.ts';

interface Push {
  readonly work: Work;
  readonly source: SourceOf;
  readonly job: Job;
  /** What goes onto the machine before the tree. */
  readonly caches: readonly Restoring[];
  readonly farm: Omit<FarmDeps, 'records'>;
  readonly signal: AbortSignal;
}

export async function pushSource(buildlet: Buildlet, { work, source, job, caches, farm, signal }: Push): Promise<void> {
  const { epoch } = work.lease;
  const clear = (): Promise<void> => buildlet.removeAll(['.'], epoch, { signal });
  const put = (one: SourceOf, noted: { source?: string }): Promise<void> => {
    const tar = farm.source.tar(one, { gzipLevel: buildlet.gzipLevel, signal });
    return buildlet.putTarGz(sourceDir(one), readSource(tar, signal), epoch, { ...noted, signal });
  };
  const sendTrees = async (): Promise<void> => {
    const [first, ...beside] = source.revisions.map((revision) => ({ ...source, revisions: [revision] }));
    for (const one of beside) await put(one, {});
    if (first) await put(first, { source: sourceName(work) }); // last: with its name all of them are there
  };
  const push = async (): Promise<void> => {
    await clearRuns(buildlet, (id) => !id.startsWith(runsOf(work)), { epoch, clock: farm.clock, signal });
    do await clear();
    while (!(await restoreCaches(buildlet, caches, { work, job, farm, signal })));
    try {
      await sendTrees();
    } catch (error) {
      const restored = caches.filter(({ broken }) => !broken);
      if (restored.length === 0 || !(isCode(error, 'invalid') || isCode(error, 'internal'))) throw error;
      for (const cache of restored) cache.broken = { why: 'it may have been in the way of the source', damaged: false };
      await clear();
      await sendTrees();
    }
  };
  await keepTrying(push, { work, farm, signal });
}

/** A source that cannot be reached is not the machine's doing, so it must not look like a machine that cannot be reached. */
async function* readSource(tar: AsyncIterable<Buffer>, signal: AbortSignal): AsyncGenerator<Buffer> {
  try {
    yield* tar;
  } catch (error) {
    signal.throwIfAborted();
    throw isCode(error, 'invalid') ? error : new CroftError('internal', 'reading the source', { cause: error });
  }
}

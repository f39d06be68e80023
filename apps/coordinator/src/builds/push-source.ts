/** Brings the exact tree of a build's revisions onto its machine: what was there is moved away first, so nothing old shines through. */
import type { Buildlet } from '@croft/buildlet/client';
import { sourceDir } from '@croft/buildlet/step-spec';
import { CroftError, isCode } from '@croft/runtime/errors';
import { clearRuns } from './clear-runs.ts';
import { keepTrying } from './keep-trying.ts';
import type { FarmDeps, SourceOf, Work } from './work.ts';

interface Push {
  readonly work: Work;
  readonly source: SourceOf;
  readonly farm: FarmDeps;
  readonly signal: AbortSignal;
}

/** By it the machine knows whether it still holds the tree of this attempt. */
export function sourceName({ build, attempt }: Pick<Work, 'build' | 'attempt'>): string {
  return `${build}.${attempt}`;
}

export async function pushSource(buildlet: Buildlet, { work, source, farm, signal }: Push): Promise<void> {
  const { epoch } = work.lease;
  const push = async (): Promise<void> => {
    await clearRuns(buildlet, 'others', { work, clock: farm.clock, signal });
    await buildlet.removeAll(['.'], epoch, { signal });
    const [first, ...beside] = source.revisions.map((revision) => ({ ...source, revisions: [revision] }));
    const put = (one: SourceOf, noted: { source?: string }): Promise<unknown> => {
      const tar = farm.source.tar(one, { gzipLevel: buildlet.gzipLevel, signal });
      return buildlet.putTarGz(sourceDir(one), readSource(tar, signal), epoch, { ...noted, signal });
    };
    for (const one of beside) await put(one, {});
    if (first) await put(first, { source: sourceName(work) }); // last: with its name all of them are there
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

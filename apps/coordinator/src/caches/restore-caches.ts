/**
 * Puts what earlier builds of the builder have saved onto the machine, before the source: whatever a cache holds, the files of the commit
 * come after it and win. A cache that cannot be put there is as good as none.
 */
import { createHash } from 'node:crypto';
import type { Job, JobCache } from '@croft/domain/job';
import type { Buildlet } from '@croft/buildlet/client';
import { sourceDir } from '@croft/buildlet/step-spec';
import { CroftError, errorText, isCode } from '@croft/runtime/errors';
import type { CacheEntry } from '@croft/store/caches';
import type { FarmDeps, Work } from '../builds/work.ts';

/** An entry on its way; `broken` says why it is left out from now on. */
export interface Restoring {
  readonly cache: JobCache;
  readonly entry: CacheEntry;
  broken?: { readonly why: string; readonly damaged: boolean };
}

export async function findCaches(job: Job, { caches }: Pick<FarmDeps, 'caches'>): Promise<Restoring[]> {
  const found: Restoring[] = [];
  for (const cache of job.caches ?? []) {
    const entry = await caches.find(job, cache);
    if (entry) found.push({ cache, entry });
  }
  return found;
}

interface Place {
  readonly work: Work;
  readonly job: Job;
  readonly farm: Pick<FarmDeps, 'blobs' | 'log'>;
  readonly signal: AbortSignal;
}

/** @returns false when one of them broke: what came of it is on the machine, and everything has to be sent again without it */
export async function restoreCaches(
  buildlet: Buildlet,
  restoring: readonly Restoring[],
  { work, job, farm, signal }: Place,
): Promise<boolean> {
  for (const one of restoring.filter(({ broken }) => !broken)) {
    try {
      await buildlet.putTarGz(sourceDir(job), checked(farm.blobs, one.entry), work.lease.epoch, { signal });
    } catch (error) {
      signal.throwIfAborted();
      if (isCode(error, 'stale') || isCode(error, 'unavailable') || isCode(error, 'timeout')) throw error;
      one.broken = { why: errorText(error).slice(0, 500), damaged: isCode(error, 'invalid') || isCode(error, 'not-found') };
      farm.log.warn('cache not restored', { build: work.build, cache: one.cache.name, error });
      return false;
    }
  }
  return true;
}

/** Notes how it went, and forgets what is damaged. */
export async function noteRestored(
  restoring: readonly Restoring[],
  { work, job, farm }: { work: Work; job: Job; farm: Pick<FarmDeps, 'caches'> },
): Promise<void> {
  for (const { cache, entry, broken } of restoring) if (broken?.damaged) await farm.caches.drop(job, cache, entry);
  const uses = (job.caches ?? []).map(({ name, key }) => {
    const { entry, broken } = restoring.find((one) => one.cache.name === name) ?? {};
    return { name, key, restored: entry && !broken ? { key: entry.key, bytes: entry.bytes } : undefined, why: broken?.why };
  });
  await farm.caches.noteRestored(work, uses);
}

/** Ends with a failure, and so without an end that the machine would believe, when the bytes are not those that were saved. */
async function* checked(blobs: FarmDeps['blobs'], { sha256 }: CacheEntry): AsyncGenerator<Buffer> {
  const hash = createHash('sha256');
  for await (const piece of blobs.read(sha256)) {
    hash.update(piece);
    yield piece;
  }
  if (hash.digest('hex') !== sha256) throw new CroftError('invalid', 'the stored cache is damaged');
}

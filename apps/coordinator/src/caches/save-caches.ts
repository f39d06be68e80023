/**
 * Saves what a build hands on, once it has passed, and only where nobody but those who may change the branch had a say: what trusted
 * builds restore was made by trusted builds. An entry never changes; saving it again is no change. No failure here ends a build.
 */
import { selects, withContents } from '@croft/domain/pattern';
import type { Job, JobCache } from '@croft/domain/job';
import { sourceDir } from '@croft/buildlet/step-spec';
import type { Blob } from '@croft/blobs/blobs';
import { anySignal, MINUTE } from '@croft/runtime/clock';
import { asCroftError, CroftError, errorText, isCode } from '@croft/runtime/errors';
import { readTarGz } from '@croft/streams/tar-read';
import { keepTrying } from '../builds/keep-trying.ts';
import { sourceName } from '../builds/source-name.ts';
import type { FarmDeps, Work } from '../builds/work.ts';

interface Saving {
  readonly work: Work;
  readonly job: Job;
  readonly farm: FarmDeps;
  readonly signal: AbortSignal;
}

const saveMs = 15 * MINUTE;
const maxEntries = 2_000_000;
/** It is stored: read on each restore, written once. */
const gzipLevel = 1;
/** How much larger than its archive what is in it may be. */
const maxRatio = 200;

export function maySave({ trust, trigger }: Pick<Job, 'trust' | 'trigger'>): boolean {
  return trust === 'trusted' && trigger.kind === 'branch';
}

export async function saveCaches(saving: Saving): Promise<void> {
  const { work, job, farm } = saving;
  if (!maySave(job)) return;
  for (const cache of job.caches ?? []) {
    if (await farm.caches.has(job, cache)) continue;
    const saved = await saveCache(cache, saving);
    await farm.caches.noteSaved(work, { name: cache.name, ...(typeof saved === 'string' ? { why: saved } : { savedBytes: saved }) });
  }
}

/** @returns its size, or why there is none */
async function saveCache(cache: JobCache, { work, job, farm, signal: given }: Saving): Promise<number | string> {
  const signal = anySignal(given, farm.clock.deadline(saveMs));
  let blob: Blob;
  try {
    blob = await keepTrying(() => fetchArchive(cache, { work, job, farm, signal }), { work, farm, signal });
    await checkArchive(cache, blob, { farm, signal });
  } catch (error) {
    given.throwIfAborted();
    if (isCode(error, 'stale') || isCode(error, 'stopped')) throw error;
    const failure = asCroftError(error, 'internal', `save the cache "${cache.name}"`);
    if (failure.code !== 'not-found') farm.log.warn('cache not saved', { build: work.build, cache: cache.name, error: failure });
    return errorText(failure).slice(0, 500);
  }
  const stored = await farm.caches.save(work, job, { cache, key: cache.key, ...blob });
  return stored ? blob.bytes : 'another build has saved it meanwhile';
}

function fetchArchive({ paths, maxBytes }: JobCache, { work, job, farm, signal }: Saving): Promise<Blob> {
  const buildlet = farm.connect(work.lease.machine);
  const archive = buildlet.getTarGz(sourceDir(job), paths, work.lease.epoch, { source: sourceName(work), gzipLevel, signal });
  return farm.blobs.put(archive, { maxBytes, signal });
}

/** Whole, not empty, and with nothing in it but what was declared: it is unpacked on every machine of the builder. */
async function checkArchive(
  { paths }: JobCache,
  { sha256, bytes }: Blob,
  { farm, signal }: Pick<Saving, 'farm' | 'signal'>,
): Promise<void> {
  const patterns = withContents(paths);
  let entries = 0;
  for await (const { header } of readTarGz(farm.blobs.read(sha256), { maxBytes: bytes * maxRatio + 1e6, maxEntries, signal })) {
    entries += 1;
    const name = Buffer.from(header.name, 'latin1').toString().replace(/\/$/, '');
    if (/(?:^|\/)\.{0,2}(?:\/|$)/.test(name) || !selects(patterns, name))
      throw new CroftError('invalid', `the machine sent ${JSON.stringify(name)}, which is not in it`);
  }
  if (entries === 0) throw new CroftError('not-found', 'nothing was there');
}

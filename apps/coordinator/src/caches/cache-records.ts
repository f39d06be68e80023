/** The database's side of caches. Whoever saves an entry shows its lease; reading and forgetting need none. */
import type { Job, JobCache, RepoRevision } from '@croft/domain/job';
import type { BuilderName } from '@croft/domain/names';
import type { Clock } from '@croft/runtime/clock';
import { sha256Hex } from '@croft/runtime/digest';
import { CroftError } from '@croft/runtime/errors';
import type { AttemptRef } from '@croft/store/attempts';
import {
  dropCache,
  evictCaches,
  findCache,
  insertCache,
  saveCacheSaved,
  saveCacheUse,
  touchCache,
  type CacheEntry,
  type CacheRef,
  type CacheUse,
} from '@croft/store/caches';
import type { Database, Sql } from '@croft/store/database';
import { writeAsHolder } from '@croft/store/leases';
import { waitable } from '../builds/waitable.ts';
import type { Work } from '../builds/work.ts';

/** Each throws `unavailable` while nothing can be read or stored; what shows a lease, `stale` when that has passed on. */
export interface CacheRecords {
  /** Also the newest that begins alike, where the cache says that it will do; it counts as used now. */
  find(job: Job, cache: JobCache): Promise<CacheEntry | undefined>;
  /** Whether there is an entry of exactly this key. */
  has(job: Job, cache: JobCache): Promise<boolean>;
  /** One that is there stays. Those not used for longest make room. @returns whether this one was stored */
  save(work: Work, job: Job, entry: CacheEntry & { readonly cache: JobCache }): Promise<boolean>;
  drop(job: Job, cache: JobCache, entry: CacheEntry): Promise<void>;
  noteRestored(work: Work, uses: readonly CacheUse[]): Promise<void>;
  noteSaved(work: Work, use: Pick<CacheUse, 'name' | 'savedBytes' | 'why'>): Promise<void>;
}

export function createCacheRecords(db: Database, { maxBytes, clock }: { maxBytes: () => number; clock: Clock }): CacheRecords {
  const fenced = <T>({ lease }: Work, write: (sql: Sql) => Promise<T>): Promise<T> =>
    waitable(writeAsHolder(db, { lease: lease.id, epoch: lease.epoch }, write));
  return {
    find: (job, cache) =>
      waitable(
        db.write(async (sql) => {
          const entry = await findCache(sql, refOf(job, cache), cache);
          if (entry) await touchCache(sql, refOf(job, cache), { key: entry.key, at: clock.now() });
          return entry;
        }),
      ),
    has: async (job, cache) => (await waitable(db.read((sql) => findCache(sql, refOf(job, cache), { key: cache.key })))) !== undefined,
    save: (work, job, { cache, ...entry }) =>
      fenced(work, async (sql) => {
        const stored = await insertCache(sql, refOf(job, cache), { ...entry, build: work.build, at: clock.now() });
        await evictCaches(sql, maxBytes());
        return stored;
      }),
    drop: (job, cache, entry) => waitable(db.write((sql) => dropCache(sql, refOf(job, cache), entry))),
    noteRestored: (work, uses) =>
      fenced(work, async (sql) => {
        for (const use of uses) await saveCacheUse(sql, attemptOf(work), use);
      }),
    noteSaved: (work, use) => fenced(work, (sql) => saveCacheSaved(sql, attemptOf(work), use)),
  };
}

function attemptOf({ build, attempt }: Work): AttemptRef {
  return { build, number: attempt };
}

function refOf({ owner, revisions }: Job, { name, paths }: JobCache): CacheRef {
  const repo = (revisions[0] as RepoRevision).repo;
  if (owner.kind !== 'builder') throw new CroftError('internal', 'only builders have caches');
  return { repo, builder: owner.name satisfies BuilderName, name, layout: sha256Hex(JSON.stringify(paths.toSorted())).slice(0, 16) };
}

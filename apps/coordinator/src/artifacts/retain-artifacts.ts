/** Lets artifacts go by age and by size of each builder, then the blobs that nothing needs. The database forgets first. */
import type { BlobStore } from '@croft/blobs/blobs';
import { DAY, type Clock, type Waits } from '@croft/runtime/clock';
import type { Log } from '@croft/runtime/log';
import { buildersWithArtifacts, expireArtifact, expiredArtifacts } from '@croft/store/artifacts';
import { neededBlobs } from '@croft/store/blob-needs';
import type { Database } from '@croft/store/database';
import { retentionOf, type Retained } from '../retention.ts';

export interface RetainDeps {
  readonly db: Database;
  readonly blobs: Pick<BlobStore, 'sweep'>;
  readonly builders: () => readonly Retained[];
  readonly clock: Clock;
  readonly log: Log;
}

const batch = 100;
/** Much longer than from putting a blob to noting it. */
const graceMs = DAY;

/** One sweep; returns how many artifacts have gone. */
export async function retainArtifacts({ db, blobs, builders, clock, log }: RetainDeps, { signal }: Waits): Promise<number> {
  let removed = 0;
  for (const name of await db.read(buildersWithArtifacts)) {
    const { artifactBytes } = retentionOf(name, builders());
    for (;;) {
      signal?.throwIfAborted();
      const limits = { now: clock.now(), maxBytes: artifactBytes, limit: batch };
      const expired = await db.read((sql) => expiredArtifacts(sql, name, limits));
      if (expired.length === 0) break;
      await db.write(async (sql) => {
        for (const ref of expired) await expireArtifact(sql, ref);
      });
      removed += expired.length;
    }
  }
  const needed = (hashes: readonly string[]): Promise<Set<string>> => db.read((sql) => neededBlobs(sql, hashes));
  const swept = await blobs.sweep({ needed, putBefore: clock.now() - graceMs }, { signal });
  if (removed > 0 || swept.blobs > 0) log.info('artifacts removed by retention', { removed, ...swept });
  return removed;
}

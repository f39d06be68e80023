/** Lets logs go by age and by size of each builder. The database forgets first, so a log that is promised is there. */
import type { Clock, Waits } from '@croft/runtime/clock';
import type { Log } from '@croft/runtime/log';
import type { Database } from '@croft/store/database';
import { buildersWithLogs, expiredLogs, expireLog } from '@croft/store/logs';
import { retentionOf, type Retained } from '../retention.ts';
import type { AttemptLogs } from './attempt-logs.ts';

export interface RetainDeps {
  readonly db: Database;
  readonly logs: Pick<AttemptLogs, 'remove'>;
  readonly builders: () => readonly Retained[];
  readonly clock: Clock;
  readonly log: Log;
}

const batch = 100;

/** One sweep; returns how many logs were removed. */
export async function retainLogs({ db, logs, builders, clock, log }: RetainDeps, { signal }: Waits): Promise<number> {
  let removed = 0;
  for (const name of await db.read(buildersWithLogs)) {
    const { logAgeMs, logBytes } = retentionOf(name, builders());
    for (;;) {
      signal?.throwIfAborted();
      const limits = { endedBefore: clock.now() - logAgeMs, maxBytes: logBytes, limit: batch };
      const expired = await db.read((sql) => expiredLogs(sql, name, limits));
      if (expired.length === 0) break;
      for (const { build, number } of expired) await logs.remove(build, number);
      await db.write(async (sql) => {
        for (const ref of expired) await expireLog(sql, ref);
      });
      removed += expired.length;
    }
  }
  if (removed > 0) log.info('logs removed by retention', { removed });
  return removed;
}

/** Lets logs go by age and by size of each builder. The database forgets first, so a log that is promised is there. */
import type { Builder, Retention } from '@croft/domain/job';
import { DAY, type Clock, type Waits } from '@croft/runtime/clock';
import type { Log } from '@croft/runtime/log';
import type { Database } from '@croft/store/database';
import { buildersWithLogs, expiredLogs, expireLog } from '@croft/store/logs';
import type { AttemptLogs } from './attempt-logs.ts';

export interface RetainDeps {
  readonly db: Database;
  readonly logs: Pick<AttemptLogs, 'remove'>;
  readonly builders: () => readonly Pick<Builder, 'name' | 'retention'>[];
  readonly clock: Clock;
  readonly log: Log;
}

/** For builders that are not configured any more. */
const defaultRetention: Retention = { logAgeMs: 90 * DAY, logBytes: 20e9 };
const batch = 100;

/** One sweep; returns how many logs were removed. */
export async function retainLogs({ db, logs, builders, clock, log }: RetainDeps, { signal }: Waits): Promise<number> {
  let removed = 0;
  for (const name of await db.read(buildersWithLogs)) {
    const { logAgeMs, logBytes } = builders().find((builder) => builder.name === name)?.retention ?? defaultRetention;
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

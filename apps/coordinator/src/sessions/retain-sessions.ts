/** Forgets sessions long after their end. What was done in them stays in the audit trail. */
import type { Clock, Waits } from '@croft/runtime/clock';
import type { Log } from '@croft/runtime/log';
import type { Database } from '@croft/store/database';
import { forgetSessions } from '@croft/store/sessions';

export interface RetainDeps {
  readonly db: Pick<Database, 'write'>;
  readonly keepMs: () => number;
  readonly clock: Clock;
  readonly log: Log;
}

/** In one write. */
const batch = 100;

/** One sweep; returns how many were forgotten. */
export async function retainSessions({ db, keepMs, clock, log }: RetainDeps, { signal }: Waits): Promise<number> {
  const endedBefore = clock.now() - keepMs();
  let removed = 0;
  for (let last = batch; last === batch; removed += last) {
    signal?.throwIfAborted();
    last = await db.write((sql) => forgetSessions(sql, { endedBefore, limit: batch }));
  }
  if (removed > 0) log.info('sessions removed by retention', { removed });
  return removed;
}

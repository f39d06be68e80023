/**
 * The audit trail: who asked for which change, to what, from where. Written before the change is made, so that none goes
 * unrecorded. What was refused is recorded too, but nobody can fill the disk with refusals.
 */
import type * as z from 'zod';
import type { auditListSchema } from '@croft/protocol/api';
import { MINUTE, type Clock } from '@croft/runtime/clock';
import { isCode } from '@croft/runtime/errors';
import type { Log } from '@croft/runtime/log';
import { appendAudit, listAudit } from '@croft/store/audit';
import type { Database } from '@croft/store/database';
import { createAttempts } from '@croft/web/attempts';

export interface Asked {
  readonly who: string;
  /** An operation's name. */
  readonly what: string;
  readonly target: string;
  readonly from: string;
}

export interface Audit {
  asked(entry: Asked): Promise<void>;
  refused(entry: Asked, why: string): Promise<void>;
  list(query: { before?: number | undefined; limit: number }): Promise<z.output<typeof auditListSchema>>;
}

export interface AuditDeps {
  readonly database: Pick<Database, 'read' | 'write'>;
  readonly clock: Clock;
  readonly log: Log;
}

export function createAudit({ database, clock, log }: AuditDeps): Audit {
  const refusals = createAttempts(clock, { limit: 60, windowMs: 5 * MINUTE });
  const write = async (entry: Asked, detail: Record<string, unknown>): Promise<void> => {
    await database.write((sql) => appendAudit(sql, { ...entry, at: clock.now(), detail }));
  };
  return {
    asked: (entry) => write(entry, {}),
    async refused(entry, why) {
      log.warn('change refused', { ...entry, why });
      try {
        refusals.check(entry.from);
      } catch (error) {
        if (isCode(error, 'exhausted')) return;
        throw error;
      }
      refusals.failed(entry.from);
      await write({ ...entry, what: `${entry.what} refused` }, { why });
    },
    async list({ before, limit }) {
      const found = await database.read((sql) => listAudit(sql, { before, limit }));
      const entries = found.map(({ id, at, who, what, target, from }) => ({ id, at, who, what, target, from }));
      const last = entries.at(-1);
      return last && entries.length === limit ? { entries, next: last.id } : { entries };
    },
  };
}

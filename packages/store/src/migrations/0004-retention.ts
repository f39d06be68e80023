/** How much a builder’s logs take together, and which are the oldest, from one index: no attempt is read for it. */
import type { Migration } from '../migrate.ts';

export const retention: Migration = {
  version: 4,
  title: 'retention',
  statements: () => [
    'DROP INDEX attempts_log',
    `CREATE INDEX attempts_log ON attempts (builder, ended_at, log_bytes, state, log_state)
      WHERE state = 'ended' AND log_state <> 'expired'`,
  ],
};

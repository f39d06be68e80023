/** Results of whole pages of commits from one index: what each builder said, and under which hash its log is found. */
import type { Migration } from '../migrate.ts';

export const results: Migration = {
  version: 2,
  title: 'results',
  statements: ({ text }) => [
    `ALTER TABLE builds ADD COLUMN log_sha1 ${text}`,
    `ALTER TABLE builds ADD COLUMN beside ${text}`,
    `UPDATE builds SET log_sha1 = (SELECT a.log_sha1 FROM attempts a WHERE a.build = builds.id AND a.number = builds.attempts)
      WHERE end_kind IN ('passed', 'failed', 'timed-out')`,
    `CREATE INDEX builds_results ON builds (revision, repo, beside, builder, end_kind, log_sha1)
      WHERE trigger_kind = 'branch' AND end_kind IS NOT NULL`,
  ],
};

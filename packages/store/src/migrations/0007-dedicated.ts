/** Machines that dial in: the keys by which they are known, and machines that an operator takes out of work. */
import type { Migration } from '../migrate.ts';

export const dedicated: Migration = {
  version: 7,
  title: 'dedicated',
  statements: ({ text }) => [
    `CREATE TABLE machine_keys (
      id ${text} PRIMARY KEY, name ${text} NOT NULL, host_type ${text} NOT NULL, hash ${text} NOT NULL UNIQUE,
      created_at BIGINT NOT NULL, expires_at BIGINT NOT NULL, last_used_at BIGINT, revoked_at BIGINT
    )`,
    `ALTER TABLE machines ADD COLUMN drained ${text}`,
  ],
};

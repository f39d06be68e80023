/** Public keys by which people enter the SSH door. */
import type { Migration } from '../migrate.ts';

export const sshKeys: Migration = {
  version: 9,
  title: 'ssh keys',
  statements: ({ text }) => [
    `CREATE TABLE ssh_keys (
      id ${text} PRIMARY KEY, person ${text} NOT NULL, name ${text} NOT NULL, type ${text} NOT NULL, blob ${text} NOT NULL,
      fingerprint ${text} NOT NULL, added_at BIGINT NOT NULL, last_used_at BIGINT,
      UNIQUE (person, fingerprint)
    )`,
    'CREATE INDEX ssh_keys_fingerprint ON ssh_keys (fingerprint)',
  ],
};

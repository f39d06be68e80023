/** Sessions: machines that people borrow. */
import type { Migration } from '../migrate.ts';

export const sessions: Migration = {
  version: 8,
  title: 'sessions',
  statements: ({ text }) => [
    `CREATE TABLE sessions (
      id ${text} PRIMARY KEY, seq BIGINT NOT NULL UNIQUE, alias ${text} NOT NULL, owner ${text} NOT NULL, builder ${text} NOT NULL,
      repos ${text} NOT NULL, needs ${text} NOT NULL, source ${text} NOT NULL, build ${text}, note ${text} NOT NULL,
      shared_with ${text} NOT NULL, created_at BIGINT NOT NULL, state ${text} NOT NULL, state_json ${text} NOT NULL, ended_at BIGINT
    )`,
    `CREATE UNIQUE INDEX sessions_alias ON sessions (alias) WHERE state <> 'ended'`,
    `CREATE INDEX sessions_live ON sessions (seq) WHERE state <> 'ended'`,
    `CREATE INDEX sessions_ended ON sessions (ended_at) WHERE state = 'ended'`,
    `CREATE INDEX leases_of_machine ON leases (machine, acquired_at)`,
  ],
};

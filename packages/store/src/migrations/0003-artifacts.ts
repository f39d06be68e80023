/** What attempts leave behind: one row for each declared artifact, one for each file of it, its content in the blob store. */
import type { Migration } from '../migrate.ts';

export const artifacts: Migration = {
  version: 3,
  title: 'artifacts',
  statements: ({ text }) => [
    `CREATE TABLE artifacts (
      build ${text} NOT NULL, attempt INTEGER NOT NULL, name ${text} NOT NULL, builder ${text} NOT NULL, state ${text} NOT NULL,
      files INTEGER NOT NULL, bytes BIGINT NOT NULL, why ${text}, stored_at BIGINT NOT NULL, keep_until BIGINT,
      PRIMARY KEY (build, attempt, name)
    )`,
    `CREATE INDEX artifacts_kept ON artifacts (builder, stored_at) WHERE state = 'kept'`,
    `CREATE TABLE artifact_files (
      build ${text} NOT NULL, attempt INTEGER NOT NULL, artifact ${text} NOT NULL, path ${text} NOT NULL, sha256 ${text} NOT NULL,
      bytes BIGINT NOT NULL, mode INTEGER NOT NULL,
      PRIMARY KEY (build, attempt, artifact, path)
    )`,
    'CREATE INDEX artifact_files_sha256 ON artifact_files (sha256)',
  ],
};

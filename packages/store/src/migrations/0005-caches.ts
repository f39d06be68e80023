/** What builds of one builder hand on to the next ones, its content in the blob store; and what each attempt made of it. */
import type { Migration } from '../migrate.ts';

export const caches: Migration = {
  version: 5,
  title: 'caches',
  statements: ({ text }) => [
    `CREATE TABLE caches (
      repo ${text} NOT NULL, builder ${text} NOT NULL, name ${text} NOT NULL, layout ${text} NOT NULL, key ${text} NOT NULL,
      sha256 ${text} NOT NULL, bytes BIGINT NOT NULL, build ${text} NOT NULL, stored_at BIGINT NOT NULL, used_at BIGINT NOT NULL,
      PRIMARY KEY (repo, builder, name, layout, key)
    )`,
    'CREATE INDEX caches_used ON caches (used_at)',
    'CREATE INDEX caches_sha256 ON caches (sha256)',
    `CREATE TABLE cache_uses (
      build ${text} NOT NULL, attempt INTEGER NOT NULL, name ${text} NOT NULL, key ${text} NOT NULL, restored ${text},
      restored_bytes BIGINT, saved_bytes BIGINT, why ${text},
      PRIMARY KEY (build, attempt, name)
    )`,
  ],
};

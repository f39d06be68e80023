/** Repositories, builds, attempts, logs, machines, leases, access and settings. Instants are epoch ms, sizes bytes. */
import type { ColumnTypes, Migration } from '../migrate.ts';

export const spine: Migration = {
  version: 1,
  title: 'spine',
  statements: (types) => [...repositories(types), ...builds(types), ...attempts(types), ...machines(types), ...access(types)],
};

function repositories({ text }: ColumnTypes): string[] {
  return [
    `CREATE TABLE counters (name ${text} PRIMARY KEY, value BIGINT NOT NULL)`,
    `CREATE TABLE repos (
      name ${text} PRIMARY KEY, url ${text} NOT NULL, default_branch ${text}, heads ${text} NOT NULL,
      last_fetch_at BIGINT, last_error ${text}
    )`,
    `CREATE TABLE commits (
      repo ${text} NOT NULL, revision ${text} NOT NULL, parents ${text} NOT NULL, author_name ${text} NOT NULL,
      author_email ${text} NOT NULL, committed_at BIGINT NOT NULL, subject ${text} NOT NULL,
      PRIMARY KEY (repo, revision)
    )`,
    `CREATE TABLE branch_commits (
      repo ${text} NOT NULL, branch ${text} NOT NULL, position INTEGER NOT NULL, revision ${text} NOT NULL,
      PRIMARY KEY (repo, branch, position)
    )`,
  ];
}

function builds({ text }: ColumnTypes): string[] {
  return [
    `CREATE TABLE builds (
      id ${text} PRIMARY KEY, seq BIGINT NOT NULL UNIQUE, builder ${text} NOT NULL, repo ${text} NOT NULL, revision ${text} NOT NULL,
      revisions ${text} NOT NULL, trigger_kind ${text} NOT NULL, trigger_ref ${text} NOT NULL, band INTEGER NOT NULL,
      needs ${text} NOT NULL, needs_key ${text} NOT NULL, created_at BIGINT NOT NULL,
      state ${text} NOT NULL, since BIGINT NOT NULL, attempts INTEGER NOT NULL, not_before BIGINT, infra INTEGER,
      cancel_by ${text}, cancel_why ${text}, end_kind ${text}, end_json ${text},
      queue ${text} GENERATED ALWAYS AS (CASE WHEN state = 'queued' THEN needs_key END) STORED
    )`,
    'CREATE INDEX builds_queue ON builds (queue, band, seq) WHERE queue IS NOT NULL',
    'CREATE INDEX builds_state ON builds (state, seq)',
    'CREATE INDEX builds_repo ON builds (repo, seq)',
    'CREATE INDEX builds_builder ON builds (builder, seq)',
    'CREATE INDEX builds_revision ON builds (revision)',
  ];
}

function attempts({ text, blob }: ColumnTypes): string[] {
  return [
    `CREATE TABLE attempts (
      build ${text} NOT NULL, number INTEGER NOT NULL, builder ${text} NOT NULL, state ${text} NOT NULL,
      started_at BIGINT NOT NULL, ended_at BIGINT, end_kind ${text}, end_json ${text},
      machine ${text} NOT NULL, lease ${text} NOT NULL, epoch BIGINT NOT NULL, job ${text}, plan_reason ${text},
      log_state ${text} NOT NULL, log_bytes BIGINT NOT NULL, log_lines BIGINT NOT NULL, log_sha1 ${text},
      PRIMARY KEY (build, number)
    )`,
    `CREATE INDEX attempts_duration ON attempts (builder, ended_at) WHERE end_kind IN ('passed', 'failed')`,
    `CREATE INDEX attempts_log ON attempts (builder, ended_at) WHERE state = 'ended' AND log_state <> 'expired'`,
    'CREATE INDEX attempts_sha1 ON attempts (log_sha1) WHERE log_sha1 IS NOT NULL',
    `CREATE TABLE steps (
      build ${text} NOT NULL, attempt INTEGER NOT NULL, idx INTEGER NOT NULL, name ${text} NOT NULL, role ${text} NOT NULL,
      run ${text} NOT NULL, state ${text} NOT NULL, started_at BIGINT, ended_at BIGINT, log_from BIGINT, log_to BIGINT,
      exit_json ${text},
      PRIMARY KEY (build, attempt, idx)
    )`,
    `CREATE TABLE log_segments (
      build ${text} NOT NULL, attempt INTEGER NOT NULL, n INTEGER NOT NULL, start BIGINT NOT NULL, bytes BIGINT NOT NULL,
      lines_before BIGINT NOT NULL, line_index ${blob} NOT NULL,
      PRIMARY KEY (build, attempt, n)
    )`,
  ];
}

function machines({ text }: ColumnTypes): string[] {
  return [
    `CREATE TABLE machines (
      id ${text} PRIMARY KEY, pool ${text} NOT NULL, host_type ${text} NOT NULL, labels ${text} NOT NULL, address ${text} NOT NULL,
      epoch BIGINT NOT NULL, boot ${text}, state ${text} NOT NULL, created_at BIGINT NOT NULL, seen_at BIGINT NOT NULL,
      gone_at BIGINT, evidence ${text}
    )`,
    'CREATE INDEX machines_state ON machines (state, created_at)',
    `CREATE TABLE leases (
      id ${text} PRIMARY KEY, machine ${text} NOT NULL, holder_kind ${text} NOT NULL, holder_id ${text} NOT NULL, epoch BIGINT NOT NULL,
      state ${text} NOT NULL, acquired_at BIGINT NOT NULL, ended_at BIGINT, how ${text}
    )`,
    `CREATE UNIQUE INDEX leases_machine ON leases (machine) WHERE state = 'held'`,
    `CREATE INDEX leases_holder ON leases (holder_kind, holder_id)`,
  ];
}

function access({ text }: ColumnTypes): string[] {
  return [
    `CREATE TABLE tokens (
      id ${text} PRIMARY KEY, name ${text} NOT NULL, hash ${text} NOT NULL UNIQUE, role ${text} NOT NULL, scopes ${text} NOT NULL,
      created_at BIGINT NOT NULL, expires_at BIGINT, last_used_at BIGINT, revoked_at BIGINT
    )`,
    `CREATE TABLE audit (
      id BIGINT PRIMARY KEY, at BIGINT NOT NULL, who ${text} NOT NULL, what ${text} NOT NULL, target ${text} NOT NULL,
      from_address ${text} NOT NULL, detail ${text} NOT NULL
    )`,
    `CREATE TABLE settings (key ${text} PRIMARY KEY, value ${text} NOT NULL)`,
  ];
}

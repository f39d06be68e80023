/** Builds: one row each, for ever, with the state that `@croft/domain/build` moves. Lists and the queue are in build-lists.ts. */
import type { BuildState } from '@croft/domain/build';
import { advance, newBuildState } from '@croft/domain/build';
import { bands, type Band, type Needs, type RepoRevision, type Trigger } from '@croft/domain/job';
import type { BuilderName, BuildId, RepoName, Revision } from '@croft/domain/names';
import type { AttemptEnd } from '@croft/domain/outcome';
import { needsKey } from '@croft/domain/schedule';
import { CroftError } from '@croft/runtime/errors';
import { nextNumber } from './counters.ts';
import type { Sql, SqlValue } from './database.ts';

export interface NewBuild {
  readonly id: BuildId;
  readonly builder: BuilderName;
  /** At least one; the first is the one being tested. */
  readonly revisions: readonly RepoRevision[];
  readonly trigger: Trigger;
  readonly band: Band;
  readonly needs: Needs;
  readonly createdAt: number;
}

export interface StoredBuild extends NewBuild {
  /** Place in the order of arrival; unique. */
  readonly seq: number;
  /** Of the first revision. */
  readonly repo: RepoName;
  readonly revision: Revision;
  readonly state: BuildState;
}

/**
 * Stores a new build as queued, or queues again one that was dropped while it waited.
 * @returns false when it is there already, unchanged then
 */
export async function insertBuild(sql: Sql, build: NewBuild): Promise<boolean> {
  const first = build.revisions[0];
  if (!first) throw new CroftError('invalid', `build ${build.id} has no revision`);
  const known = await sql.get<{ end_kind: string | null }>('SELECT end_kind FROM builds WHERE id = ?', [build.id]);
  if (known) return known.end_kind === 'skipped' && reviveDropped(sql, build);
  const row: Record<string, SqlValue> = {
    id: build.id,
    seq: await nextNumber(sql, 'builds'),
    builder: build.builder,
    repo: first.repo,
    revision: first.revision,
    revisions: JSON.stringify(build.revisions),
    trigger_kind: build.trigger.kind,
    trigger_ref: build.trigger.ref,
    band: bands.indexOf(build.band),
    needs: JSON.stringify(build.needs),
    needs_key: needsKey(build.needs),
    beside: besideText(build.revisions.slice(1)),
    created_at: build.createdAt,
    ...stateColumns(newBuildState(build.createdAt)),
  };
  const names = Object.keys(row);
  const text = `INSERT INTO builds (${names.join(', ')}) VALUES (${names.map(() => '?').join(', ')}) ON CONFLICT (id) DO NOTHING`;
  return (await sql.run(text, Object.values(row))) === 1;
}

/** Whether the builder has a build of the first revision together with any other. */
export async function isBuiltBeside(sql: Sql, { builder, revisions: [first] }: Pick<NewBuild, 'builder' | 'revisions'>): Promise<boolean> {
  const text = `SELECT 1 AS known FROM builds WHERE revision = ? AND repo || '' = ? AND builder || '' = ?
    AND trigger_kind = 'branch' AND beside IS NOT NULL LIMIT 1`;
  return first !== undefined && (await sql.get(text, [first.revision, first.repo, builder])) !== undefined;
}

/** One whose last attempt said itself that there is nothing to run stays as it is. */
async function reviveDropped(sql: Sql, { id, band, needs, createdAt }: NewBuild): Promise<boolean> {
  const { state } = await getBuildForUpdate(sql, id);
  const last = await sql.get<{ end_kind: string | null }>('SELECT end_kind FROM attempts WHERE build = ? AND number = ?', [
    id,
    state.attempts,
  ]);
  if (last?.end_kind === 'skipped') return false;
  await sql.run('UPDATE builds SET band = ?, needs = ?, needs_key = ? WHERE id = ?', [
    bands.indexOf(band),
    JSON.stringify(needs),
    needsKey(needs),
    id,
  ]);
  await saveBuildState(sql, id, advance(state, { kind: 'retry', at: createdAt }));
  return true;
}

export async function getBuild(sql: Sql, id: BuildId): Promise<StoredBuild | undefined> {
  const row = await sql.get<BuildRow>(`SELECT ${buildColumns} FROM builds WHERE id = ?`, [id]);
  return row && toBuild(row);
}

/** The build, which nobody else can change until this transaction ends. @throws CroftError `not-found` */
export async function getBuildForUpdate(sql: Sql, id: BuildId): Promise<StoredBuild> {
  const row = await sql.get<BuildRow>(`SELECT ${buildColumns} FROM builds WHERE id = ?${sql.forUpdate}`, [id]);
  if (!row) throw new CroftError('not-found', `there is no build ${id}`);
  return toBuild(row);
}

/** Replaces the state; the caller has it from `advance` on what `getBuildForUpdate` gave. `logSha1` is that of the attempt that ended it. */
export async function saveBuildState(sql: Sql, id: BuildId, state: BuildState, logSha1?: string): Promise<void> {
  const row = { ...stateColumns(state), log_sha1: logSha1 ?? null };
  const sets = Object.keys(row).map((name) => `${name} = ?`);
  await sql.run(`UPDATE builds SET ${sets.join(', ')} WHERE id = ?`, [...Object.values(row), id]);
}

export const buildColumns = `id, seq, builder, repo, revision, revisions, trigger_kind, trigger_ref, band, needs, created_at,
  state, since, attempts, not_before, infra, cancel_by, cancel_why, end_json`;

export interface BuildRow {
  readonly id: BuildId;
  readonly seq: number;
  readonly builder: BuilderName;
  readonly repo: RepoName;
  readonly revision: Revision;
  readonly revisions: string;
  readonly trigger_kind: Trigger['kind'];
  readonly trigger_ref: string;
  readonly band: number;
  readonly needs: string;
  readonly created_at: number;
  readonly state: BuildState['kind'];
  readonly since: number;
  readonly attempts: number;
  readonly not_before: number | null;
  readonly infra: number | null;
  readonly cancel_by: string | null;
  readonly cancel_why: string | null;
  readonly end_json: string | null;
}

export function toBuild(row: BuildRow): StoredBuild {
  return {
    id: row.id,
    seq: row.seq,
    builder: row.builder,
    repo: row.repo,
    revision: row.revision,
    revisions: JSON.parse(row.revisions) as RepoRevision[],
    trigger: { kind: row.trigger_kind, ref: row.trigger_ref },
    band: bands[row.band] ?? 'back-fill',
    needs: JSON.parse(row.needs) as Needs,
    createdAt: row.created_at,
    state: toState(row),
  };
}

function toState(row: BuildRow): BuildState {
  const { state: kind, since, attempts } = row;
  switch (kind) {
    case 'queued':
      return { kind, since, notBefore: row.not_before ?? since, attempts, infra: row.infra ?? 0 };
    case 'running':
      return { kind, since, attempts, infra: row.infra ?? 0 };
    case 'cancelling':
      return { kind, since, attempts, by: row.cancel_by ?? '', why: row.cancel_why ?? '' };
    case 'ended':
      return { kind, since, attempts, end: JSON.parse(row.end_json ?? 'null') as AttemptEnd };
    default:
      return kind satisfies never;
  }
}

/** The other revisions of a build as one text, in order; null when there is but one. */
function besideText(others: readonly RepoRevision[]): string | null {
  return others.map(({ repo, revision }) => `${repo}@${revision}`).join(' ') || null;
}

function stateColumns(state: BuildState): Record<string, SqlValue> {
  return {
    state: state.kind,
    since: state.since,
    attempts: state.attempts,
    not_before: state.kind === 'queued' ? state.notBefore : null,
    infra: state.kind === 'queued' || state.kind === 'running' ? state.infra : null,
    cancel_by: state.kind === 'cancelling' ? state.by : null,
    cancel_why: state.kind === 'cancelling' ? state.why : null,
    end_kind: state.kind === 'ended' ? state.end.kind : null,
    end_json: state.kind === 'ended' ? JSON.stringify(state.end) : null,
  };
}

/** Attempts of builds, with the facts about the log of each. */
import { endAttempt, type AttemptState } from '@croft/domain/attempt';
import type { Job } from '@croft/domain/job';
import type { BuilderName, BuildId, LeaseId, MachineId } from '@croft/domain/names';
import type { AttemptEnd } from '@croft/domain/outcome';
import { CroftError } from '@croft/runtime/errors';
import type { Sql } from './database.ts';
import { placeholders } from './sql-text.ts';

/** Which attempt; an `Attempt` is one too. */
export interface AttemptRef {
  readonly build: BuildId;
  /** From 1. */
  readonly number: number;
}

export interface NewAttempt extends AttemptRef {
  readonly builder: BuilderName;
  readonly startedAt: number;
  readonly machine: MachineId;
  readonly lease: LeaseId;
  /** The lease's when the attempt began. */
  readonly epoch: number;
}

export interface AttemptLog {
  /** `live`: may grow; `complete`: hashed; `expired`: its bytes are gone. */
  readonly state: 'live' | 'complete' | 'expired';
  /** Acknowledged: stored for good. */
  readonly bytes: number;
  readonly lines: number;
  /** Of all bytes, hex; once complete. */
  readonly sha1: string | undefined;
}

/** An attempt without what it was planned to do. */
export interface AttemptSummary extends Omit<NewAttempt, 'startedAt'> {
  readonly state: AttemptState;
  readonly log: AttemptLog;
}

export interface Attempt extends AttemptSummary {
  /** Undefined until it was planned. */
  readonly job: Job | undefined;
  /** Why these steps. */
  readonly planReason: string | undefined;
}

export async function insertAttempt(sql: Sql, { build, number, builder, startedAt, machine, lease, epoch }: NewAttempt): Promise<void> {
  const text = `INSERT INTO attempts (build, number, builder, state, started_at, machine, lease, epoch, log_state, log_bytes, log_lines)
    VALUES (?, ?, ?, 'running', ?, ?, ?, ?, 'live', 0, 0)`;
  await sql.run(text, [build, number, builder, startedAt, machine, lease, epoch]);
}

/** Stores what the attempt will do. @throws CroftError `conflict` when another plan is stored: an attempt keeps its plan */
export async function planAttempt(
  sql: Sql,
  { build, number }: AttemptRef,
  { job, reason }: { readonly job: Job; readonly reason: string },
): Promise<void> {
  const text = 'UPDATE attempts SET job = ?, plan_reason = ? WHERE build = ? AND number = ? AND (job IS NULL OR job = ?)';
  const json = JSON.stringify(job);
  if ((await sql.run(text, [json, reason, build, number, json])) === 0) throw misfit({ build, number }, 'another plan is stored');
}

export async function getAttempt(sql: Sql, { build, number }: AttemptRef): Promise<Attempt | undefined> {
  const row = await sql.get<AttemptRow>(`SELECT ${attemptColumns} FROM attempts WHERE build = ? AND number = ?`, [build, number]);
  return row && toAttempt(row);
}

/** In order. */
export async function attemptsOf(sql: Sql, build: BuildId): Promise<Attempt[]> {
  const rows = await sql.all<AttemptRow>(`SELECT ${attemptColumns} FROM attempts WHERE build = ? ORDER BY number`, [build]);
  return rows.map(toAttempt);
}

/** The last attempt of each build that has one. */
export async function lastAttempts(sql: Sql, builds: readonly BuildId[]): Promise<Map<BuildId, AttemptSummary>> {
  const found = new Map<BuildId, AttemptSummary>();
  for (let from = 0; from < builds.length; from += chunk) {
    const part = builds.slice(from, from + chunk);
    const text = `SELECT ${summaryColumns} FROM attempts WHERE build IN (${placeholders(part.length)}) ORDER BY build, number`;
    for (const row of await sql.all<SummaryRow>(text, part)) found.set(row.build, toSummary(row));
  }
  return found;
}

/** Ends the attempt; repeating the same end changes nothing. @throws CroftError `conflict` for another end, `not-found` */
export async function endAttemptRow(
  sql: Sql,
  ref: AttemptRef,
  { end, at }: { readonly end: AttemptEnd; readonly at: number },
): Promise<void> {
  const where = 'WHERE build = ? AND number = ?';
  const row = await sql.get<AttemptRow>(`SELECT ${attemptColumns} FROM attempts ${where}${sql.forUpdate}`, [ref.build, ref.number]);
  if (!row) throw new CroftError('not-found', `build ${ref.build} has no attempt ${ref.number}`);
  const before = toAttempt(row).state;
  if (endAttempt(before, end, at) === before) return;
  const text = `UPDATE attempts SET state = 'ended', ended_at = ?, end_kind = ?, end_json = ? ${where}`;
  await sql.run(text, [at, end.kind, JSON.stringify(end), ref.build, ref.number]);
}

/** Median duration of a builder's last 20 attempts that passed or failed, ms; undefined when there is none. */
export async function medianDurationMs(sql: Sql, builder: BuilderName): Promise<number | undefined> {
  const text = `SELECT started_at, ended_at FROM attempts WHERE builder = ? AND end_kind IN ('passed', 'failed') ORDER BY ended_at DESC LIMIT 20`;
  const rows = await sql.all<{ started_at: number; ended_at: number }>(text, [builder]);
  const durations = rows.map((row) => row.ended_at - row.started_at).toSorted((a, b) => a - b);
  return durations[Math.floor(durations.length / 2)];
}

const chunk = 200;

const summaryColumns = `build, number, builder, state, started_at, ended_at, end_json, machine, lease, epoch,
  log_state, log_bytes, log_lines, log_sha1`;
export const attemptColumns = `${summaryColumns}, job, plan_reason`;

interface SummaryRow {
  readonly build: BuildId;
  readonly number: number;
  readonly builder: BuilderName;
  readonly state: AttemptState['kind'];
  readonly started_at: number;
  readonly ended_at: number | null;
  readonly end_json: string | null;
  readonly machine: MachineId;
  readonly lease: LeaseId;
  readonly epoch: number;
  readonly log_state: AttemptLog['state'];
  readonly log_bytes: number;
  readonly log_lines: number;
  readonly log_sha1: string | null;
}

export interface AttemptRow extends SummaryRow {
  readonly job: string | null;
  readonly plan_reason: string | null;
}

export function toAttempt(row: AttemptRow): Attempt {
  const job = row.job === null ? undefined : (JSON.parse(row.job) as Job);
  return { ...toSummary(row), job, planReason: row.plan_reason ?? undefined };
}

function toSummary(row: SummaryRow): AttemptSummary {
  return {
    build: row.build,
    number: row.number,
    builder: row.builder,
    machine: row.machine,
    lease: row.lease,
    epoch: row.epoch,
    state: toState(row),
    log: { state: row.log_state, bytes: row.log_bytes, lines: row.log_lines, sha1: row.log_sha1 ?? undefined },
  };
}

function toState({ state, started_at: startedAt, ended_at: endedAt, end_json: end }: SummaryRow): AttemptState {
  if (state === 'running') return { kind: 'running', startedAt };
  return { kind: 'ended', startedAt, endedAt: endedAt ?? startedAt, end: JSON.parse(end ?? 'null') as AttemptEnd };
}

function misfit({ build, number }: AttemptRef, why: string): CroftError {
  return new CroftError('conflict', `build ${build}, attempt ${number}: ${why}`);
}

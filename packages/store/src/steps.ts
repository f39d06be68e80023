/** The steps of an attempt. */
import type { StepState } from '@croft/domain/attempt';
import type { Role } from '@croft/domain/job';
import type { RunId } from '@croft/domain/names';
import type { Exit, Seen } from '@croft/domain/outcome';
import { CroftError } from '@croft/runtime/errors';
import type { AttemptRef } from './attempts.ts';
import type { Sql } from './database.ts';

export interface NewStep {
  readonly name: string;
  readonly role: Role;
  /** The run on the buildlet. */
  readonly run: RunId;
}

export interface StoredStep extends NewStep {
  /** Place among the attempt's steps, from 0. */
  readonly index: number;
  readonly state: StepState;
}

/** Stores the steps as pending; those already there stay as they are. */
export async function insertSteps(sql: Sql, { build, number }: AttemptRef, steps: readonly NewStep[]): Promise<void> {
  const text = `INSERT INTO steps (build, attempt, idx, name, role, run, state) VALUES (?, ?, ?, ?, ?, ?, 'pending')
    ON CONFLICT (build, attempt, idx) DO NOTHING`;
  for (const [index, { name, role, run }] of steps.entries()) await sql.run(text, [build, number, index, name, role, run]);
}

/** In order. */
export async function stepsOf(sql: Sql, { build, number }: AttemptRef): Promise<StoredStep[]> {
  const text = `SELECT idx, name, role, run, state, started_at, ended_at, log_from, log_to, exit_json FROM steps
    WHERE build = ? AND attempt = ? ORDER BY idx`;
  const rows = await sql.all<StepRow>(text, [build, number]);
  return rows.map((row) => ({ index: row.idx, name: row.name, role: row.role, run: row.run, state: toState(row) }));
}

/** Replaces the state of one step. @throws CroftError `not-found` */
export async function saveStepState(
  sql: Sql,
  { build, number, index }: AttemptRef & { readonly index: number },
  state: StepState,
): Promise<void> {
  const text = `UPDATE steps SET state = ?, started_at = ?, ended_at = ?, log_from = ?, log_to = ?, exit_json = ?
    WHERE build = ? AND attempt = ? AND idx = ?`;
  const started = state.kind === 'pending' ? [null, null] : [state.startedAt, state.logFrom];
  const [endedAt, logTo, exit] =
    state.kind === 'ended' ? [state.endedAt, state.logTo, JSON.stringify({ ...state.exit, ...state.seen })] : [null, null, null];
  const [startedAt = null, logFrom = null] = started;
  const changed = await sql.run(text, [state.kind, startedAt, endedAt, logFrom, logTo, exit, build, number, index]);
  if (changed === 0) throw new CroftError('not-found', `build ${build}, attempt ${number} has no step ${index}`);
}

interface StepRow {
  readonly idx: number;
  readonly name: string;
  readonly role: Role;
  readonly run: RunId;
  readonly state: StepState['kind'];
  readonly started_at: number | null;
  readonly ended_at: number | null;
  readonly log_from: number | null;
  readonly log_to: number | null;
  readonly exit_json: string | null;
}

function toState(row: StepRow): StepState {
  if (row.state === 'pending') return { kind: 'pending' };
  const started = { startedAt: row.started_at ?? 0, logFrom: row.log_from ?? 0 };
  if (row.state === 'running') return { kind: 'running', ...started };
  const { usage, evidence, ...exit } = JSON.parse(row.exit_json ?? 'null') as Exit & Seen;
  const seen = usage || evidence ? { seen: { usage, evidence } } : {};
  return { kind: 'ended', ...started, endedAt: row.ended_at ?? 0, logTo: row.log_to ?? 0, exit, ...seen };
}

/** What the database knows about an attempt's log: how much of it is stored for good, its line index, its hash, its end. */
import type { BuilderName, BuildId } from '@croft/domain/names';
import { CroftError } from '@croft/runtime/errors';
import { attemptColumns, toAttempt, type Attempt, type AttemptRef, type AttemptRow } from './attempts.ts';
import type { Sql } from './database.ts';

export interface LogLength {
  readonly bytes: number;
  readonly lines: number;
}

/** Notes that the log is stored up to here. @throws CroftError `conflict` when that would go back or the log is not live */
export async function setLogLength(sql: Sql, ref: AttemptRef, { bytes, lines }: LogLength): Promise<void> {
  const text = `UPDATE attempts SET log_bytes = ?, log_lines = ? WHERE build = ? AND number = ? AND log_state = 'live' AND log_bytes <= ?`;
  const changed = await sql.run(text, [bytes, lines, ref.build, ref.number, bytes]);
  if (changed === 0) throw misfit(ref, `cannot be set to ${bytes} bytes: it is longer or not live`);
}

/** Closes the log at its present length; repeating it is no change. @throws CroftError `conflict` when other bytes were hashed */
export async function completeLog(sql: Sql, ref: AttemptRef, { bytes, lines, sha1 }: LogLength & { readonly sha1: string }): Promise<void> {
  const text = `UPDATE attempts SET log_state = 'complete', log_lines = ?, log_sha1 = ? WHERE build = ? AND number = ? AND log_bytes = ?
    AND (log_state = 'live' OR (log_state = 'complete' AND log_sha1 = ?))`;
  const changed = await sql.run(text, [lines, sha1, ref.build, ref.number, bytes, sha1]);
  if (changed === 0) throw misfit(ref, `cannot be completed with ${bytes} bytes and SHA-1 ${sha1}`);
}

/** The newest attempt with exactly this log whose bytes are still there. */
export async function attemptByLogSha1(sql: Sql, sha1: string): Promise<Attempt | undefined> {
  const text = `SELECT ${attemptColumns} FROM attempts WHERE log_sha1 = ? AND log_state = 'complete' ORDER BY started_at DESC LIMIT 1`;
  const row = await sql.get<AttemptRow>(text, [sha1]);
  return row && toAttempt(row);
}

export interface LogRetention {
  /** Epoch ms: logs of attempts that ended earlier go. */
  readonly endedBefore: number;
  /** All logs of the builder together; beyond it the oldest go. */
  readonly maxBytes: number;
  readonly limit: number;
}

/** Logs of ended attempts that retention lets go, oldest first. */
export async function expiredLogs(
  sql: Sql,
  builder: BuilderName,
  { endedBefore, maxBytes, limit }: LogRetention,
): Promise<(AttemptRef & { bytes: number })[]> {
  const kept = `FROM attempts WHERE builder = ? AND state = 'ended' AND log_state <> 'expired'`;
  const total = await sql.get<{ bytes: number }>(`SELECT CAST(coalesce(sum(log_bytes), 0) AS BIGINT) AS bytes ${kept}`, [builder]);
  const oldest = await sql.all<AttemptRef & { bytes: number; ended_at: number }>(
    `SELECT build, number, log_bytes AS bytes, ended_at ${kept} ORDER BY ended_at, build DESC, number DESC LIMIT ?`,
    [builder, limit],
  );
  let left = total?.bytes ?? 0;
  const stays = oldest.findIndex(({ bytes, ended_at: endedAt }) => {
    if (endedAt >= endedBefore && left <= maxBytes) return true;
    left -= bytes;
    return false;
  });
  return oldest.slice(0, stays === -1 ? limit : stays).map(({ build, number, bytes }) => ({ build, number, bytes }));
}

/** Every builder that has logs which are not expired, whether it is still configured or not. */
export async function buildersWithLogs(sql: Sql): Promise<BuilderName[]> {
  const kept = `FROM attempts WHERE state = 'ended' AND log_state <> 'expired'`;
  const text = `WITH RECURSIVE names(name) AS (
      SELECT (SELECT builder ${kept} ORDER BY builder LIMIT 1)
      UNION ALL
      SELECT (SELECT builder ${kept} AND builder > name ORDER BY builder LIMIT 1) FROM names WHERE name IS NOT NULL
    ) SELECT name FROM names WHERE name IS NOT NULL`;
  const rows = await sql.all<{ name: BuilderName }>(text);
  return rows.map(({ name }) => name);
}

/** Notes that the bytes are gone: the caller has removed them. */
export async function expireLog(sql: Sql, { build, number }: AttemptRef): Promise<void> {
  await sql.run(`UPDATE attempts SET log_state = 'expired' WHERE build = ? AND number = ?`, [build, number]);
  await sql.run('DELETE FROM log_segments WHERE build = ? AND attempt = ?', [build, number]);
}

/** A stretch of the log with the index of its lines. */
export interface LogSegment {
  /** From 0. */
  readonly n: number;
  /** Offset of its first byte in the log. */
  readonly start: number;
  readonly bytes: number;
  /** Line ends in the log before it. */
  readonly linesBefore: number;
  /** Opaque to the store. */
  readonly index: Uint8Array;
}

/** Stores or replaces one segment's facts. */
export async function saveSegment(
  sql: Sql,
  { build, number }: AttemptRef,
  { n, start, bytes, linesBefore, index }: LogSegment,
): Promise<void> {
  const text = `INSERT INTO log_segments (build, attempt, n, start, bytes, lines_before, line_index) VALUES (?, ?, ?, ?, ?, ?, ?)
    ON CONFLICT (build, attempt, n) DO UPDATE SET
      start = excluded.start, bytes = excluded.bytes, lines_before = excluded.lines_before, line_index = excluded.line_index`;
  await sql.run(text, [build, number, n, start, bytes, linesBefore, index]);
}

/** In order. */
export async function segmentsOf(sql: Sql, { build, number }: AttemptRef): Promise<LogSegment[]> {
  const text = 'SELECT n, start, bytes, lines_before, line_index FROM log_segments WHERE build = ? AND attempt = ? ORDER BY n';
  const rows = await sql.all<SegmentRow>(text, [build, number]);
  return rows.map(({ n, start, bytes, lines_before: linesBefore, line_index: index }) => ({ n, start, bytes, linesBefore, index }));
}

interface SegmentRow {
  readonly n: number;
  readonly start: number;
  readonly bytes: number;
  readonly lines_before: number;
  readonly line_index: Uint8Array;
}

function misfit({ build, number }: { readonly build: BuildId; readonly number: number }, why: string): CroftError {
  return new CroftError('conflict', `the log of build ${build}, attempt ${number}, ${why}`);
}

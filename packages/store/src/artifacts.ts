/** What attempts have left behind. The content of each file is a blob; this says under which hash, and for how long. */
import type { BuilderName, BuildId } from '@croft/domain/names';
import type { AttemptRef } from './attempts.ts';
import type { Sql } from './database.ts';

export interface ArtifactFile {
  /** Below the root of the tree, with slashes. */
  readonly path: string;
  readonly sha256: string;
  readonly bytes: number;
  /** Permission bits. */
  readonly mode: number;
}

export type ArtifactState =
  | { readonly kind: 'kept'; readonly files: number; readonly bytes: number; readonly keepUntil: number }
  /** Nothing was there. */
  | { readonly kind: 'missing' }
  /** It was there and could not be kept. */
  | { readonly kind: 'refused'; readonly why: string }
  /** It was kept, and retention has let it go. */
  | { readonly kind: 'expired'; readonly files: number; readonly bytes: number };

export interface Artifact {
  readonly attempt: number;
  readonly name: string;
  readonly storedAt: number;
  readonly state: ArtifactState;
}

export interface NewArtifact extends AttemptRef {
  readonly builder: BuilderName;
  readonly name: string;
  readonly state: ArtifactState;
  readonly storedAt: number;
  /** Of one that is kept. */
  readonly files: readonly ArtifactFile[];
}

/** Notes it with all of its files; one that was noted before stays as it was. */
export async function insertArtifact(sql: Sql, artifact: NewArtifact): Promise<void> {
  const { build, number, builder, name, state, storedAt, files } = artifact;
  const { bytes = 0, keepUntil = null, why = null, files: count = 0 } = columnsOf(state);
  const text = `INSERT INTO artifacts (build, attempt, name, builder, state, files, bytes, why, stored_at, keep_until)
    VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (build, attempt, name) DO NOTHING`;
  const added = await sql.run(text, [build, number, name, builder, state.kind, count, bytes, why, storedAt, keepUntil]);
  if (added === 0) return;
  for (let from = 0; from < files.length; from += chunk) {
    const part = files.slice(from, from + chunk);
    const rows = part.map(() => '(?, ?, ?, ?, ?, ?, ?)').join(', ');
    const values = part.flatMap((file) => [build, number, name, file.path, file.sha256, file.bytes, file.mode]);
    await sql.run(`INSERT INTO artifact_files (build, attempt, artifact, path, sha256, bytes, mode) VALUES ${rows}`, values);
  }
}

/** Of all attempts of a build, in order. */
export async function artifactsOf(sql: Sql, build: BuildId): Promise<Artifact[]> {
  const text = `SELECT attempt, name, state, files, bytes, why, stored_at, keep_until FROM artifacts WHERE build = ? ORDER BY attempt, name`;
  const rows = await sql.all<ArtifactRow>(text, [build]);
  return rows.map((row) => ({ attempt: row.attempt, name: row.name, storedAt: row.stored_at, state: toState(row) }));
}

export interface ArtifactRef extends AttemptRef {
  readonly name: string;
}

/** In order of their paths. */
export async function artifactFiles(
  sql: Sql,
  { build, number, name }: ArtifactRef,
  { limit }: { readonly limit: number },
): Promise<ArtifactFile[]> {
  const text =
    'SELECT path, sha256, bytes, mode FROM artifact_files WHERE build = ? AND attempt = ? AND artifact = ? ORDER BY path LIMIT ?';
  const rows = await sql.all<ArtifactFile>(text, [build, number, name, limit]);
  return rows.map((row) => ({ ...row }));
}

export async function getArtifactFile(sql: Sql, { build, number, name }: ArtifactRef, path: string): Promise<ArtifactFile | undefined> {
  const text = 'SELECT path, sha256, bytes, mode FROM artifact_files WHERE build = ? AND attempt = ? AND artifact = ? AND path = ?';
  const row = await sql.get<ArtifactFile>(text, [build, number, name, path]);
  return row && { ...row };
}

export interface ArtifactRetention {
  /** Epoch ms: what was to be kept until then goes. */
  readonly now: number;
  /** All artifacts of the builder together; beyond it the oldest go. */
  readonly maxBytes: number;
  readonly limit: number;
}

/** What retention lets go of one builder, oldest first. */
export async function expiredArtifacts(
  sql: Sql,
  builder: BuilderName,
  { now, maxBytes, limit }: ArtifactRetention,
): Promise<ArtifactRef[]> {
  const text = `SELECT build, attempt AS number, name FROM (
      SELECT build, attempt, name, stored_at, keep_until,
        CAST(sum(bytes) OVER (ORDER BY stored_at DESC, build, attempt, name) AS BIGINT) AS up_to_here
      FROM artifacts WHERE builder = ? AND state = 'kept'
    ) kept WHERE keep_until < ? OR up_to_here > ? ORDER BY stored_at, build DESC, attempt DESC, name DESC LIMIT ?`;
  const rows = await sql.all<ArtifactRef>(text, [builder, now, maxBytes, limit]);
  return rows.map((row) => ({ ...row }));
}

export async function buildersWithArtifacts(sql: Sql): Promise<BuilderName[]> {
  const rows = await sql.all<{ builder: BuilderName }>(`SELECT DISTINCT builder FROM artifacts WHERE state = 'kept' ORDER BY builder`);
  return rows.map(({ builder }) => builder);
}

/** Its files are not promised any more; that it was there stays. */
export async function expireArtifact(sql: Sql, { build, number, name }: ArtifactRef): Promise<void> {
  await sql.run(`UPDATE artifacts SET state = 'expired' WHERE build = ? AND attempt = ? AND name = ? AND state = 'kept'`, [
    build,
    number,
    name,
  ]);
  await sql.run('DELETE FROM artifact_files WHERE build = ? AND attempt = ? AND artifact = ?', [build, number, name]);
}

const chunk = 100;

interface ArtifactRow {
  readonly attempt: number;
  readonly name: string;
  readonly state: ArtifactState['kind'];
  readonly files: number;
  readonly bytes: number;
  readonly why: string | null;
  readonly stored_at: number;
  readonly keep_until: number | null;
}

function columnsOf(state: ArtifactState): { files?: number; bytes?: number; keepUntil?: number; why?: string } {
  const { kind: _, ...columns } = state;
  return columns;
}

function toState({ state: kind, files, bytes, why, keep_until: keepUntil }: ArtifactRow): ArtifactState {
  switch (kind) {
    case 'kept':
      return { kind, files, bytes, keepUntil: keepUntil ?? 0 };
    case 'missing':
      return { kind };
    case 'refused':
      return { kind, why: why ?? '' };
    case 'expired':
      return { kind, files, bytes };
    default:
      return kind satisfies never;
  }
}

/** The audit trail: who changed what, when, from where. Appended to and read, never changed. */
import { nextNumber } from './counters.ts';
import type { Sql } from './database.ts';

export interface NewAuditEntry {
  readonly at: number;
  /** Name of the token, or of the person at the machine. */
  readonly who: string;
  /** The action, such as `build.cancel`. */
  readonly what: string;
  /** What it was done to, such as a build's id. */
  readonly target: string;
  /** Address of the client. */
  readonly from: string;
  readonly detail: Readonly<Record<string, unknown>>;
}

export interface AuditEntry extends NewAuditEntry {
  readonly id: number;
}

/** @returns the entry's id */
export async function appendAudit(sql: Sql, { at, who, what, target, from, detail }: NewAuditEntry): Promise<number> {
  const id = await nextNumber(sql, 'audit');
  const text = 'INSERT INTO audit (id, at, who, what, target, from_address, detail) VALUES (?, ?, ?, ?, ?, ?, ?)';
  await sql.run(text, [id, at, who, what, target, from, JSON.stringify(detail)]);
  return id;
}

/** Newest first; `before`: an id, exclusive. */
export async function listAudit(
  sql: Sql,
  { before, limit }: { readonly before?: number | undefined; readonly limit: number },
): Promise<AuditEntry[]> {
  const text = 'SELECT id, at, who, what, target, from_address, detail FROM audit WHERE id < ? ORDER BY id DESC LIMIT ?';
  const rows = await sql.all<AuditRow>(text, [before ?? Number.MAX_SAFE_INTEGER, limit]);
  return rows.map(({ from_address: from, detail, ...row }) => ({ ...row, from, detail: JSON.parse(detail) as Record<string, unknown> }));
}

interface AuditRow {
  readonly id: number;
  readonly at: number;
  readonly who: string;
  readonly what: string;
  readonly target: string;
  readonly from_address: string;
  readonly detail: string;
}

/** Access tokens. Only the SHA-256 of a secret is stored; who may do what with a role is decided elsewhere. */
import { CroftError } from '@croft/runtime/errors';
import type { Sql } from './database.ts';

export type TokenRole = 'monitor' | 'viewer' | 'developer' | 'operator' | 'admin';

export interface Token {
  readonly id: string;
  readonly name: string;
  readonly role: TokenRole;
  /** Restrictions, opaque to the store; empty means none. */
  readonly scopes: readonly string[];
  readonly createdAt: number;
  readonly expiresAt: number | undefined;
  readonly lastUsedAt: number | undefined;
  readonly revokedAt: number | undefined;
}

export interface NewToken {
  readonly id: string;
  readonly name: string;
  /** SHA-256 of the secret, hex. */
  readonly hash: string;
  readonly role: TokenRole;
  readonly scopes: readonly string[];
  readonly createdAt: number;
  readonly expiresAt?: number | undefined;
}

export async function insertToken(sql: Sql, { id, name, hash, role, scopes, createdAt, expiresAt }: NewToken): Promise<void> {
  const text = 'INSERT INTO tokens (id, name, hash, role, scopes, created_at, expires_at) VALUES (?, ?, ?, ?, ?, ?, ?)';
  await sql.run(text, [id, name, hash, role, JSON.stringify(scopes), createdAt, expiresAt ?? null]);
}

/** The token as it is; the caller looks at its expiry and revocation. */
export async function tokenByHash(sql: Sql, hash: string): Promise<Token | undefined> {
  const row = await sql.get<TokenRow>(`SELECT ${columns} FROM tokens WHERE hash = ?`, [hash]);
  return row && toToken(row);
}

/** Newest first, revoked and expired ones too. */
export async function listTokens(sql: Sql): Promise<Token[]> {
  const rows = await sql.all<TokenRow>(`SELECT ${columns} FROM tokens ORDER BY created_at DESC, id`);
  return rows.map(toToken);
}

/** Revokes for ever; repeating it keeps the first instant. @throws CroftError `not-found` */
export async function revokeToken(sql: Sql, id: string, at: number): Promise<void> {
  const changed = await sql.run('UPDATE tokens SET revoked_at = coalesce(revoked_at, ?) WHERE id = ?', [at, id]);
  if (changed === 0) throw new CroftError('not-found', `there is no token ${id}`);
}

/** Notes that it was used. */
export async function touchToken(sql: Sql, id: string, at: number): Promise<void> {
  await sql.run('UPDATE tokens SET last_used_at = ? WHERE id = ? AND (last_used_at IS NULL OR last_used_at < ?)', [at, id, at]);
}

const columns = 'id, name, role, scopes, created_at, expires_at, last_used_at, revoked_at';

interface TokenRow {
  readonly id: string;
  readonly name: string;
  readonly role: TokenRole;
  readonly scopes: string;
  readonly created_at: number;
  readonly expires_at: number | null;
  readonly last_used_at: number | null;
  readonly revoked_at: number | null;
}

function toToken(row: TokenRow): Token {
  return {
    id: row.id,
    name: row.name,
    role: row.role,
    scopes: JSON.parse(row.scopes) as string[],
    createdAt: row.created_at,
    expiresAt: row.expires_at ?? undefined,
    lastUsedAt: row.last_used_at ?? undefined,
    revokedAt: row.revoked_at ?? undefined,
  };
}

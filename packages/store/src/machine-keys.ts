/** Keys of machines that dial in. Only the SHA-256 of a key is stored; each counts for one host type. */
import { CroftError } from '@croft/runtime/errors';
import type { Sql } from './database.ts';

export interface MachineKey {
  readonly id: string;
  readonly name: string;
  readonly hostType: string;
  readonly createdAt: number;
  readonly expiresAt: number;
  readonly lastUsedAt: number | undefined;
  readonly revokedAt: number | undefined;
}

export interface NewMachineKey extends Omit<MachineKey, 'lastUsedAt' | 'revokedAt'> {
  /** SHA-256 of the key, hex. */
  readonly hash: string;
}

export async function insertMachineKey(sql: Sql, { id, name, hostType, hash, createdAt, expiresAt }: NewMachineKey): Promise<void> {
  const text = 'INSERT INTO machine_keys (id, name, host_type, hash, created_at, expires_at) VALUES (?, ?, ?, ?, ?, ?)';
  await sql.run(text, [id, name, hostType, hash, createdAt, expiresAt]);
}

/** The key as it is; the caller looks at its host type, expiry and revocation. */
export async function machineKeyByHash(sql: Sql, hash: string): Promise<MachineKey | undefined> {
  const row = await sql.get<MachineKeyRow>(`SELECT ${columns} FROM machine_keys WHERE hash = ?`, [hash]);
  return row && toKey(row);
}

/** Newest first, revoked and expired ones too. */
export async function listMachineKeys(sql: Sql): Promise<MachineKey[]> {
  const rows = await sql.all<MachineKeyRow>(`SELECT ${columns} FROM machine_keys ORDER BY created_at DESC, id`);
  return rows.map(toKey);
}

/** Revokes for ever; repeating it keeps the first instant. @throws CroftError `not-found` */
export async function revokeMachineKey(sql: Sql, id: string, at: number): Promise<void> {
  const changed = await sql.run('UPDATE machine_keys SET revoked_at = coalesce(revoked_at, ?) WHERE id = ?', [at, id]);
  if (changed === 0) throw new CroftError('not-found', `there is no key ${id}`);
}

/** Notes that it was used. */
export async function touchMachineKey(sql: Sql, id: string, at: number): Promise<void> {
  await sql.run('UPDATE machine_keys SET last_used_at = ? WHERE id = ? AND (last_used_at IS NULL OR last_used_at < ?)', [at, id, at]);
}

const columns = 'id, name, host_type, created_at, expires_at, last_used_at, revoked_at';

interface MachineKeyRow {
  readonly id: string;
  readonly name: string;
  readonly host_type: string;
  readonly created_at: number;
  readonly expires_at: number;
  readonly last_used_at: number | null;
  readonly revoked_at: number | null;
}

function toKey(row: MachineKeyRow): MachineKey {
  return {
    id: row.id,
    name: row.name,
    hostType: row.host_type,
    createdAt: row.created_at,
    expiresAt: row.expires_at,
    lastUsedAt: row.last_used_at ?? undefined,
    revokedAt: row.revoked_at ?? undefined,
  };
}

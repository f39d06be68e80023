/** Public keys by which people enter the SSH door. Several people may have the same one: a public key is no secret. */
import type { Sql } from './database.ts';

export interface SshKey {
  readonly id: string;
  /** As its person calls it. */
  readonly name: string;
  readonly type: string;
  readonly fingerprint: string;
  readonly addedAt: number;
  readonly lastUsedAt?: number | undefined;
}

export interface NewSshKey extends Omit<SshKey, 'lastUsedAt'> {
  readonly person: string;
  /** Base64. */
  readonly blob: string;
}

export async function insertSshKey(sql: Sql, { id, person, name, type, blob, fingerprint, addedAt }: NewSshKey): Promise<void> {
  const text = 'INSERT INTO ssh_keys (id, person, name, type, blob, fingerprint, added_at) VALUES (?, ?, ?, ?, ?, ?, ?)';
  await sql.run(text, [id, person, name, type, blob, fingerprint, addedAt]);
}

/** Newest first. */
export async function sshKeysOf(sql: Sql, person: string): Promise<SshKey[]> {
  const text = 'SELECT id, name, type, fingerprint, added_at, last_used_at FROM ssh_keys WHERE person = ? ORDER BY added_at DESC, id';
  return (await sql.all<SshKeyRow>(text, [person])).map(toKey);
}

export async function sshKeysByFingerprint(sql: Sql, fingerprint: string): Promise<{ person: string; blob: string }[]> {
  const text = 'SELECT person, blob FROM ssh_keys WHERE fingerprint = ? ORDER BY added_at, id';
  const rows = await sql.all<{ person: string; blob: string }>(text, [fingerprint]);
  return rows.map(({ person, blob }) => ({ person, blob }));
}

/** No change where the person has none of that id. */
export async function removeSshKey(sql: Sql, { person, id }: { person: string; id: string }): Promise<void> {
  await sql.run('DELETE FROM ssh_keys WHERE id = ? AND person = ?', [id, person]);
}

/** Notes that somebody came in by it. */
export async function touchSshKey(
  sql: Sql,
  { person, fingerprint, at }: { person: string; fingerprint: string; at: number },
): Promise<void> {
  await sql.run('UPDATE ssh_keys SET last_used_at = ? WHERE person = ? AND fingerprint = ?', [at, person, fingerprint]);
}

interface SshKeyRow {
  readonly id: string;
  readonly name: string;
  readonly type: string;
  readonly fingerprint: string;
  readonly added_at: number;
  readonly last_used_at: number | null;
}

function toKey({ id, name, type, fingerprint, added_at: addedAt, last_used_at: lastUsedAt }: SshKeyRow): SshKey {
  return { id, name, type, fingerprint, addedAt, ...(lastUsedAt === null ? {} : { lastUsedAt }) };
}

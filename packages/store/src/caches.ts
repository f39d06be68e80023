/** Entries of caches, immutable under their key; the content of each is a blob. And what each attempt restored and saved. */
import type { BuilderName, BuildId, RepoName } from '@croft/domain/names';
import type { AttemptRef } from './attempts.ts';
import type { Sql } from './database.ts';

/** Whose cache: nothing is shared beyond. */
export interface CacheRef {
  readonly repo: RepoName;
  readonly builder: BuilderName;
  readonly name: string;
  /** Another one where other paths are kept. */
  readonly layout: string;
}

export interface CacheEntry {
  readonly key: string;
  readonly sha256: string;
  readonly bytes: number;
}

/** The entry of this key, else the newest whose key begins with the prefix, if one is given. */
export async function findCache(
  sql: Sql,
  { repo, builder, name, layout }: CacheRef,
  { key, prefix }: { readonly key: string; readonly prefix?: string | undefined },
): Promise<CacheEntry | undefined> {
  const of = 'FROM caches WHERE repo = ? AND builder = ? AND name = ? AND layout = ?';
  const own = [repo, builder, name, layout];
  const exact = await sql.get<CacheEntry>(`SELECT key, sha256, bytes ${of} AND key = ?`, [...own, key]);
  if (exact || prefix === undefined) return exact && { ...exact };
  const text = `SELECT key, sha256, bytes ${of} AND substr(key, 1, ?) = ? ORDER BY stored_at DESC, key DESC LIMIT 1`;
  const alike = await sql.get<CacheEntry>(text, [...own, Array.from(prefix).length, prefix]);
  return alike && { ...alike };
}

export async function touchCache(
  sql: Sql,
  { repo, builder, name, layout }: CacheRef,
  { key, at }: { readonly key: string; readonly at: number },
): Promise<void> {
  const text = 'UPDATE caches SET used_at = ? WHERE repo = ? AND builder = ? AND name = ? AND layout = ? AND key = ? AND used_at < ?';
  await sql.run(text, [at, repo, builder, name, layout, key, at]);
}

/** An entry that is there stays. @returns whether this one was stored */
export async function insertCache(
  sql: Sql,
  { repo, builder, name, layout }: CacheRef,
  { key, sha256, bytes, build, at }: CacheEntry & { readonly build: BuildId; readonly at: number },
): Promise<boolean> {
  const text = `INSERT INTO caches (repo, builder, name, layout, key, sha256, bytes, build, stored_at, used_at)
    VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (repo, builder, name, layout, key) DO NOTHING`;
  return (await sql.run(text, [repo, builder, name, layout, key, sha256, bytes, build, at, at])) === 1;
}

/** Removes an entry that cannot be read, unless another one stands there by now. */
export async function dropCache(sql: Sql, { repo, builder, name, layout }: CacheRef, { key, sha256 }: CacheEntry): Promise<void> {
  const text = 'DELETE FROM caches WHERE repo = ? AND builder = ? AND name = ? AND layout = ? AND key = ? AND sha256 = ?';
  await sql.run(text, [repo, builder, name, layout, key, sha256]);
}

/** Those go that were not used for longest, until no more than this is left. @returns how many have gone */
export async function evictCaches(sql: Sql, maxBytes: number): Promise<number> {
  const kept = `SELECT repo, builder, name, layout, key,
    CAST(sum(bytes) OVER (ORDER BY used_at DESC, repo, builder, name, layout, key) AS BIGINT) AS up_to_here FROM caches`;
  const text = `DELETE FROM caches WHERE (repo, builder, name, layout, key) IN
    (SELECT repo, builder, name, layout, key FROM (${kept}) kept WHERE up_to_here > ?)`;
  return sql.run(text, [maxBytes]);
}

export interface CacheUse {
  readonly name: string;
  /** What was asked for. */
  readonly key: string;
  /** The entry that was put onto the machine. */
  readonly restored?: { readonly key: string; readonly bytes: number } | undefined;
  /** Size of the entry that this attempt stored. */
  readonly savedBytes?: number | undefined;
  /** Why it was not restored, or not saved. */
  readonly why?: string | undefined;
}

/** Notes it; what is said again replaces what was said before. */
export async function saveCacheUse(
  sql: Sql,
  { build, number }: AttemptRef,
  { name, key, restored, savedBytes, why }: CacheUse,
): Promise<void> {
  const text = `INSERT INTO cache_uses (build, attempt, name, key, restored, restored_bytes, saved_bytes, why) VALUES (?, ?, ?, ?, ?, ?, ?, ?)
    ON CONFLICT (build, attempt, name) DO UPDATE SET key = excluded.key, restored = excluded.restored,
      restored_bytes = excluded.restored_bytes, saved_bytes = excluded.saved_bytes, why = excluded.why`;
  await sql.run(text, [build, number, name, key, restored?.key ?? null, restored?.bytes ?? null, savedBytes ?? null, why ?? null]);
}

/** Adds what became of saving it. */
export async function saveCacheSaved(
  sql: Sql,
  { build, number }: AttemptRef,
  { name, savedBytes, why }: Pick<CacheUse, 'name' | 'savedBytes' | 'why'>,
): Promise<void> {
  const text = 'UPDATE cache_uses SET saved_bytes = ?, why = ? WHERE build = ? AND attempt = ? AND name = ?';
  await sql.run(text, [savedBytes ?? null, why ?? null, build, number, name]);
}

/** Of all attempts of a build, in order. */
export async function cacheUsesOf(sql: Sql, build: BuildId): Promise<(CacheUse & { readonly attempt: number })[]> {
  const text =
    'SELECT attempt, name, key, restored, restored_bytes, saved_bytes, why FROM cache_uses WHERE build = ? ORDER BY attempt, name';
  const rows = await sql.all<CacheUseRow>(text, [build]);
  return rows.map((row) => ({
    attempt: row.attempt,
    name: row.name,
    key: row.key,
    restored: row.restored === null ? undefined : { key: row.restored, bytes: row.restored_bytes ?? 0 },
    savedBytes: row.saved_bytes ?? undefined,
    why: row.why ?? undefined,
  }));
}

interface CacheUseRow {
  readonly attempt: number;
  readonly name: string;
  readonly key: string;
  readonly restored: string | null;
  readonly restored_bytes: number | null;
  readonly saved_bytes: number | null;
  readonly why: string | null;
}

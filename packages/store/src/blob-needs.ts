/** Which blobs something needs: what nothing needs may be removed. */
import type { Sql } from './database.ts';
import { placeholders } from './sql-text.ts';

const chunk = 100;

/** Those of the hashes that an artifact or a cache needs. */
export async function neededBlobs(sql: Sql, hashes: readonly string[]): Promise<Set<string>> {
  const needed = new Set<string>();
  for (let from = 0; from < hashes.length; from += chunk) {
    const part = hashes.slice(from, from + chunk);
    const given = `sha256 IN (${placeholders(part.length)})`;
    const text = `SELECT sha256 FROM artifact_files WHERE ${given} UNION SELECT sha256 FROM caches WHERE ${given}`;
    for (const { sha256 } of await sql.all<{ sha256: string }>(text, [...part, ...part])) needed.add(sha256);
  }
  return needed;
}

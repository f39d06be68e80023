/** Repositories: what was found at the last fetch of each. */
import { parseRepoName, type RepoName, type Revision } from '@croft/domain/names';
import type { Sql } from './database.ts';

export interface Repo {
  readonly name: RepoName;
  /** For people: without user and password. */
  readonly url: string;
  readonly defaultBranch: string | undefined;
  /** Revision of each branch at the last fetch that succeeded. */
  readonly heads: Readonly<Record<string, Revision>>;
  /** Of the last fetch, whether it succeeded or not. */
  readonly lastFetchAt: number | undefined;
  /** Why the last fetch failed. */
  readonly lastError: string | undefined;
}

/** Makes the repository known; what its fetches found stays. User and password are removed from the address. */
export async function upsertRepo(sql: Sql, { name, url }: { readonly name: RepoName; readonly url: string }): Promise<void> {
  const text = `INSERT INTO repos (name, url, heads) VALUES (?, ?, '{}') ON CONFLICT (name) DO UPDATE SET url = excluded.url`;
  await sql.run(text, [name, withoutCredentials(url)]);
}

export type Fetched =
  | { readonly at: number; readonly heads: Readonly<Record<string, Revision>>; readonly defaultBranch: string | undefined }
  | { readonly at: number; readonly error: string };

/** Notes the end of a fetch; after a failed one the heads stay. */
export async function recordFetch(sql: Sql, repo: RepoName, fetched: Fetched): Promise<void> {
  if ('error' in fetched) {
    await sql.run('UPDATE repos SET last_fetch_at = ?, last_error = ? WHERE name = ?', [fetched.at, fetched.error, repo]);
    return;
  }
  const text = 'UPDATE repos SET last_fetch_at = ?, last_error = NULL, heads = ?, default_branch = ? WHERE name = ?';
  await sql.run(text, [fetched.at, JSON.stringify(fetched.heads), fetched.defaultBranch ?? null, repo]);
}

export async function getRepo(sql: Sql, name: RepoName): Promise<Repo | undefined> {
  const row = await sql.get<RepoRow>(`SELECT ${columns} FROM repos WHERE name = ?`, [name]);
  return row && toRepo(row);
}

/** By name. */
export async function listRepos(sql: Sql): Promise<Repo[]> {
  const rows = await sql.all<RepoRow>(`SELECT ${columns} FROM repos ORDER BY name`);
  return rows.map(toRepo);
}

/** Forgets the repository, not its commits and builds. */
export async function deleteRepo(sql: Sql, name: RepoName): Promise<void> {
  await sql.run('DELETE FROM repos WHERE name = ?', [name]);
}

const columns = 'name, url, default_branch, heads, last_fetch_at, last_error';

interface RepoRow {
  readonly name: string;
  readonly url: string;
  readonly default_branch: string | null;
  readonly heads: string;
  readonly last_fetch_at: number | null;
  readonly last_error: string | null;
}

function toRepo(row: RepoRow): Repo {
  return {
    name: parseRepoName(row.name),
    url: row.url,
    defaultBranch: row.default_branch ?? undefined,
    heads: JSON.parse(row.heads) as Record<string, Revision>,
    lastFetchAt: row.last_fetch_at ?? undefined,
    lastError: row.last_error ?? undefined,
  };
}

function withoutCredentials(url: string): string {
  return url.replace(/^([a-z][a-z0-9+.-]*:\/\/)[^/?#]*@/i, '$1');
}

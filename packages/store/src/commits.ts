/** Commits, and the line of commits that each branch shows: positions count up from the oldest, the tip has the highest. */
import type { RepoName, Revision } from '@croft/domain/names';
import type { Sql } from './database.ts';
import { placeholders } from './sql-text.ts';

export interface Commit {
  readonly revision: Revision;
  readonly parents: readonly Revision[];
  readonly authorName: string;
  readonly authorEmail: string;
  readonly committedAt: number;
  readonly subject: string;
}

export interface BranchCommit extends Commit {
  readonly position: number;
}

export interface BranchTip {
  readonly branch: string;
  /** Of the first commit; each of the others has one less. */
  readonly position: number;
  /** Newest first, at least one. */
  readonly commits: readonly Commit[];
}

/**
 * Stores the newest commits of a branch. What was above the new tip is removed (force push); what is below the last commit given
 * stays, unless another commit than that one was at its position: then history changed further down than was looked at.
 */
export async function recordBranch(sql: Sql, repo: RepoName, { branch, position, commits }: BranchTip): Promise<void> {
  const oldest = commits.at(-1);
  if (!oldest) return;
  const bottom = position - commits.length + 1;
  const before = await sql.get<{ revision: string }>('SELECT revision FROM branch_commits WHERE repo = ? AND branch = ? AND position = ?', [
    repo,
    branch,
    bottom,
  ]);
  const lowest = before && before.revision !== oldest.revision ? -1 : bottom;
  const outside = 'DELETE FROM branch_commits WHERE repo = ? AND branch = ? AND (position > ? OR (? < 0 AND position < ?))';
  await sql.run(outside, [repo, branch, position, lowest, bottom]);
  for (let from = 0; from < commits.length; from += chunk) {
    const part = commits.slice(from, from + chunk);
    await insertCommits(sql, repo, part);
    const text = `INSERT INTO branch_commits (repo, branch, position, revision) VALUES ${part.map(() => '(?, ?, ?, ?)').join(', ')}
      ON CONFLICT (repo, branch, position) DO UPDATE SET revision = excluded.revision`;
    await sql.run(
      text,
      part.flatMap(({ revision }, index) => [repo, branch, position - from - index, revision]),
    );
  }
}

/** Newest first; `before`: a position, exclusive. */
export async function branchCommits(
  sql: Sql,
  repo: RepoName,
  { branch, limit, before }: { readonly branch: string; readonly limit: number; readonly before?: number | undefined },
): Promise<BranchCommit[]> {
  const text = `SELECT b.position, ${columns} FROM branch_commits b JOIN commits c ON c.repo = b.repo AND c.revision = b.revision
    WHERE b.repo = ? AND b.branch = ? AND b.position < ? ORDER BY b.position DESC LIMIT ?`;
  const rows = await sql.all<CommitRow & { position: number }>(text, [repo, branch, before ?? maxPosition, limit]);
  return rows.map((row) => ({ ...toCommit(row), position: row.position }));
}

/** The branches of a repository by name, each with its tip. */
export async function branches(sql: Sql, repo: RepoName): Promise<{ branch: string; position: number; revision: Revision }[]> {
  const text = `SELECT b.branch, b.position, b.revision FROM branch_commits b
    JOIN (SELECT branch, max(position) AS position FROM branch_commits WHERE repo = ? GROUP BY branch) t
      ON t.branch = b.branch AND t.position = b.position
    WHERE b.repo = ? ORDER BY b.branch`;
  return await sql.all(text, [repo, repo]);
}

/** Removes the branch; its commits stay, since builds point at them. */
export async function deleteBranch(sql: Sql, repo: RepoName, branch: string): Promise<void> {
  await sql.run('DELETE FROM branch_commits WHERE repo = ? AND branch = ?', [repo, branch]);
}

/** Stores commits that need not be on a branch; known ones stay as they are. */
export async function insertCommits(sql: Sql, repo: RepoName, commits: readonly Commit[]): Promise<void> {
  for (let from = 0; from < commits.length; from += chunk) {
    const part = commits.slice(from, from + chunk);
    const text = `INSERT INTO commits (repo, revision, parents, author_name, author_email, committed_at, subject)
      VALUES ${part.map(() => '(?, ?, ?, ?, ?, ?, ?)').join(', ')} ON CONFLICT (repo, revision) DO NOTHING`;
    const values = part.flatMap((c) => [
      repo,
      c.revision,
      JSON.stringify(c.parents),
      c.authorName,
      c.authorEmail,
      c.committedAt,
      c.subject,
    ]);
    await sql.run(text, values);
  }
}

/** Where a commit stands on one of the branches that show it. */
export async function placeOfCommit(
  sql: Sql,
  repo: RepoName,
  revision: Revision,
): Promise<{ branch: string; position: number } | undefined> {
  const text = 'SELECT branch, position FROM branch_commits WHERE repo = ? AND revision = ? ORDER BY branch LIMIT 1';
  return sql.get<{ branch: string; position: number }>(text, [repo, revision]);
}

/** Stores a commit, and puts it on top of the branch if the tip is its first parent; the next look at the repository decides anew. */
export async function appendCommit(sql: Sql, repo: RepoName, { branch, commit }: { branch: string; commit: Commit }): Promise<void> {
  await insertCommits(sql, repo, [commit]);
  const tip = (await branches(sql, repo)).find((candidate) => candidate.branch === branch);
  if (!tip || tip.revision !== commit.parents[0]) return;
  const text = 'INSERT INTO branch_commits (repo, branch, position, revision) VALUES (?, ?, ?, ?)';
  await sql.run(text, [repo, branch, tip.position + 1, commit.revision]);
}

/** Those of the revisions that are known. */
export async function getCommits(sql: Sql, repo: RepoName, revisions: readonly Revision[]): Promise<Map<Revision, Commit>> {
  const found = new Map<Revision, Commit>();
  for (let from = 0; from < revisions.length; from += chunk) {
    const part = revisions.slice(from, from + chunk);
    const text = `SELECT ${columns} FROM commits c WHERE c.repo = ? AND c.revision IN (${placeholders(part.length)})`;
    for (const row of await sql.all<CommitRow>(text, [repo, ...part])) found.set(row.revision, toCommit(row));
  }
  return found;
}

/** Every branch that shows this commit, by name, and where. */
export async function branchesOfCommit(sql: Sql, repo: RepoName, revision: Revision): Promise<{ branch: string; position: number }[]> {
  const text = 'SELECT branch, position FROM branch_commits WHERE repo = ? AND revision = ? ORDER BY branch';
  const rows = await sql.all<{ branch: string; position: number }>(text, [repo, revision]);
  return rows.map(({ branch, position }) => ({ branch, position }));
}

/** Those whose hash begins so: lower-case hexadecimal digits. */
export async function commitsByPrefix(
  sql: Sql,
  repo: RepoName,
  { prefix, limit }: { readonly prefix: string; readonly limit: number },
): Promise<Commit[]> {
  const text = `SELECT ${columns} FROM commits c WHERE c.repo = ? AND c.revision >= ? AND c.revision < ? ORDER BY c.revision LIMIT ?`;
  return (await sql.all<CommitRow>(text, [repo, prefix, `${prefix}g`, limit])).map(toCommit);
}

export interface TextSearch {
  readonly branch: string;
  /** In the subject or the author's name; case does not matter. */
  readonly words: string;
  /** So many of the newest commits are looked through. */
  readonly depth: number;
  readonly limit: number;
}

/** Newest first. */
export async function commitsByText(sql: Sql, repo: RepoName, { branch, words, depth, limit }: TextSearch): Promise<Commit[]> {
  const pattern = `%${words.toLowerCase().replaceAll(/[\\%_]/g, (sign) => `\\${sign}`)}%`;
  const newest = 'SELECT revision, position FROM branch_commits WHERE repo = ? AND branch = ? ORDER BY position DESC LIMIT ?';
  const text = `SELECT ${columns} FROM (${newest}) b JOIN commits c ON c.repo = ? AND c.revision = b.revision
    WHERE lower(c.subject) LIKE ? ESCAPE '\\' OR lower(c.author_name) LIKE ? ESCAPE '\\' ORDER BY b.position DESC LIMIT ?`;
  return (await sql.all<CommitRow>(text, [repo, branch, depth, repo, pattern, pattern, limit])).map(toCommit);
}

const chunk = 100;
const maxPosition = 2 ** 31 - 1;
const columns = 'c.revision, c.parents, c.author_name, c.author_email, c.committed_at, c.subject';

interface CommitRow {
  readonly revision: Revision;
  readonly parents: string;
  readonly author_name: string;
  readonly author_email: string;
  readonly committed_at: number;
  readonly subject: string;
}

function toCommit(row: CommitRow): Commit {
  return {
    revision: row.revision,
    parents: JSON.parse(row.parents) as Revision[],
    authorName: row.author_name,
    authorEmail: row.author_email,
    committedAt: row.committed_at,
    subject: row.subject,
  };
}

/** The ends of all builds of a page of commits, read from one index: tens of thousands in a few milliseconds. */
import { parseRepoName, parseRevision, type BuilderName, type RepoName, type Revision } from '@croft/domain/names';
import type { RepoRevision } from '@croft/domain/job';
import type { EndKind } from '@croft/domain/outcome';
import type { Sql } from './database.ts';
import { placeholders } from './sql-text.ts';

/** What the builders said of one commit, alone or together with revisions of other repositories. */
export interface CommitResults {
  readonly revision: Revision;
  /** The other repositories that were built with it. */
  readonly beside: readonly RepoRevision[];
  readonly results: readonly BuilderResult[];
}

export interface BuilderResult {
  readonly builder: BuilderName;
  readonly end: EndKind;
  /** Undefined when no log was kept. */
  readonly logSha1: string | undefined;
}

/** Of builds that were begun because the commit is on a branch and that have ended; the rest has no result. */
export async function resultsOfCommits(sql: Sql, repo: RepoName, revisions: readonly Revision[]): Promise<CommitResults[]> {
  const found: CommitResults[] = [];
  for (let from = 0; from < revisions.length; from += chunk) {
    const part = revisions.slice(from, from + chunk);
    const text = `SELECT revision, beside, string_agg(builder || ' ' || end_kind || ' ' || coalesce(log_sha1, ''), ';') AS results
      FROM builds WHERE revision IN (${placeholders(part.length)}) AND repo = ? AND trigger_kind = 'branch' AND end_kind IS NOT NULL
      GROUP BY revision, beside`;
    for (const row of await sql.all<Row>(text, [...part, repo])) found.push(toResults(row));
  }
  return found;
}

const chunk = 100;

interface Row {
  readonly revision: Revision;
  readonly beside: string | null;
  readonly results: string;
}

function toResults({ revision, beside, results }: Row): CommitResults {
  return { revision, beside: beside?.split(' ').map(toRepoRevision) ?? [], results: results.split(';').map(toResult) };
}

function toRepoRevision(text: string): RepoRevision {
  const [repo = '', revision = ''] = text.split('@');
  return { repo: parseRepoName(repo), revision: parseRevision(revision) };
}

/** Neither names nor kinds of ends have spaces. */
function toResult(text: string): BuilderResult {
  const [builder, end, logSha1] = text.split(' ');
  return { builder: builder as BuilderName, end: end as EndKind, logSha1: logSha1 === '' ? undefined : logSha1 };
}

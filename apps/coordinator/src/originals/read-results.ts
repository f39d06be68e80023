/**
 * The grid as the originals know it (coordinator.md 9.4, 9.5): commits in rows, builders in columns, in each cell `ok`, the path of
 * a failure's log, or nothing. Made for pages of tens of thousands of cells, so it reads no build by itself.
 */
import { buildId, type Builder, type RepoRevision } from '@croft/domain/job';
import type { BuilderName, RepoName, Revision } from '@croft/domain/names';
import { legacyResult } from '@croft/domain/outcome';
import { CroftError } from '@croft/runtime/errors';
import { branchCommits, branches, getCommits, type BranchCommit } from '@croft/store/commits';
import type { Sql } from '@croft/store/database';
import { getRepo } from '@croft/store/repos';
import { resultsOfCommits, type BuilderResult, type CommitResults } from '@croft/store/results';
import type { Packages } from './packages.ts';

export interface ResultsQuery {
  /** A name or an import path; the main repository without one. */
  readonly repo?: string | undefined;
  /** `mixed`: all of them in one. */
  readonly branch?: string | undefined;
  readonly page: number;
}

export interface ResultPage {
  readonly builders: readonly string[];
  /** Newest first. */
  readonly rows: readonly ResultRow[];
}

export interface ResultRow extends Pick<BranchCommit, 'revision' | 'committedAt' | 'authorName' | 'authorEmail' | 'subject'> {
  readonly repo: RepoName;
  readonly branch: string;
  /** The main repository's, where one was built with the other. */
  readonly goRevision?: Revision;
  /** Parallel to the builders: empty, `ok` or the path of a log. */
  readonly results: readonly string[];
}

export interface ResultsDeps {
  readonly packages: Packages;
  readonly builders: readonly Pick<Builder, 'name' | 'repos'>[];
}

export const pageSize = 30;
/** `mixed` reads every page before the one wanted, of each branch. */
const mixedPages = 20;
const mixedBranches = 50;

/** @throws CroftError `not-found` for an unknown repository or branch, `invalid` for a page that is too far */
export async function readResults(sql: Sql, query: ResultsQuery, { packages, builders }: ResultsDeps): Promise<ResultPage> {
  if (packages.main === undefined) return { builders: [], rows: [] };
  const repo = packages.repoOf(query.repo ?? '');
  const commits = await commitsOf(sql, repo, query);
  const found = Map.groupBy(
    await resultsOfCommits(
      sql,
      repo,
      commits.map(({ revision }) => revision),
    ),
    ({ revision }) => revision,
  );
  const seen = new Set([...found.values()].flat().flatMap(({ results }) => results.map(({ builder }) => builder)));
  const own = builders.filter(({ repos }) => repos.includes(repo)).map(({ name }) => name);
  const columns = [...own, ...[...seen].filter((name) => !own.includes(name)).toSorted()];
  const place = new Map(columns.map((name, index) => [name, index]));
  const dates = await datesOf(sql, packages.main, found);
  const newest = (a: CommitResults, b: CommitResults): number => (dates.get(mainOf(b)) ?? 0) - (dates.get(mainOf(a)) ?? 0);
  const mainOf = ({ beside }: CommitResults): Revision | undefined =>
    (beside.find((other) => other.repo === packages.main) ?? beside[0])?.revision;
  const rows = commits.flatMap(({ branch, revision, committedAt, authorName, authorEmail, subject }) => {
    const rowsOfCommit = found.get(revision)?.toSorted(newest) ?? [{ revision, beside: [], results: [] }];
    return rowsOfCommit.map((row): ResultRow => {
      const goRevision = mainOf(row);
      const base = { repo, branch, revision, committedAt, authorName, authorEmail, subject, results: cellsOf(row, repo, place) };
      return goRevision === undefined ? base : { ...base, goRevision };
    });
  });
  return { builders: columns, rows };
}

type Placed = BranchCommit & { readonly branch: string };

async function commitsOf(sql: Sql, repo: RepoName, { branch: asked, page }: ResultsQuery): Promise<Placed[]> {
  const tips = await branches(sql, repo);
  const preferred = await defaultBranch(sql, repo, tips);
  // The originals' programs say `master` when they mean the branch where development happens.
  const branch = asked === undefined || (asked === 'master' && !tips.some((tip) => tip.branch === asked)) ? preferred : asked;
  if (branch === undefined) return [];
  const read = async (tip: { branch: string; position: number }, from: number, limit: number): Promise<Placed[]> => {
    const commits = await branchCommits(sql, repo, { branch: tip.branch, limit, before: tip.position + 1 - from });
    return commits.map((commit) => ({ ...commit, branch: tip.branch }));
  };
  if (branch !== 'mixed') {
    const tip = tips.find((candidate) => candidate.branch === branch);
    if (tip) return read(tip, page * pageSize, pageSize);
    throw new CroftError(
      'not-found',
      `${repo} has no branch "${branch}"; there are: ${tips.map((each) => each.branch).join(', ') || 'none'}`,
    );
  }
  if (page > mixedPages)
    throw new CroftError('invalid', `all branches together have at most ${mixedPages + 1} pages`, { hint: 'Ask for one branch.' });
  const merged = new Map<Revision, Placed>();
  for (const tip of tips.toSorted((a, b) => Number(b.branch === preferred) - Number(a.branch === preferred)).slice(0, mixedBranches)) {
    for (const commit of await read(tip, 0, (page + 1) * pageSize)) if (!merged.has(commit.revision)) merged.set(commit.revision, commit);
  }
  const sorted = [...merged.values()].toSorted((a, b) => b.committedAt - a.committedAt);
  return sorted.slice(page * pageSize, (page + 1) * pageSize);
}

export async function defaultBranch(sql: Sql, repo: RepoName, tips: readonly { branch: string }[]): Promise<string | undefined> {
  const preferred = (await getRepo(sql, repo))?.defaultBranch;
  return tips.find((tip) => tip.branch === preferred)?.branch ?? tips[0]?.branch;
}

/** When the main repository's commits were made that others were built with. */
async function datesOf(
  sql: Sql,
  main: RepoName,
  found: ReadonlyMap<unknown, readonly CommitResults[]>,
): Promise<Map<Revision | undefined, number>> {
  const others = [...found.values()].flat().flatMap(({ beside }) => beside.filter(({ repo }) => repo === main));
  const commits = await getCommits(sql, main, [...new Set(others.map(({ revision }) => revision))]);
  return new Map([...commits.values()].map(({ revision, committedAt }) => [revision, committedAt]));
}

function cellsOf({ revision, beside, results }: CommitResults, repo: RepoName, place: ReadonlyMap<BuilderName, number>): string[] {
  const cells = Array.from({ length: place.size }, () => '');
  const revisions = [{ repo, revision }, ...beside];
  for (const result of results) cells[place.get(result.builder) ?? 0] = cellOf(result, revisions);
  return cells;
}

/** A failure whose log was lost is still one, and its page says why there is none. */
function cellOf({ builder, end, logSha1 }: BuilderResult, revisions: readonly RepoRevision[]): string {
  if (end === 'passed') return 'ok';
  const log = (): string =>
    logSha1 === undefined ? `/builds/${buildId({ builder, revisions, trigger: { kind: 'branch', ref: '' } })}/log` : `/log/${logSha1}`;
  return end === 'failed' || end === 'timed-out' ? legacyResult({ kind: end }, log()) : '';
}

/** Builds as people and programs see them: lists, one with its attempts, the grid of commits and builders. */
import type { Builder } from '@croft/domain/job';
import { parseRepoName, type BuilderName, type BuildId, type RepoName, type Revision } from '@croft/domain/names';
import { needsKey, type Plan, type WaitReason } from '@croft/domain/schedule';
import type { BuildDetail, BuildList, BuildSummary, Grid, Trouble } from '@croft/protocol/api';
import { CroftError } from '@croft/runtime/errors';
import { attemptsOf, lastAttempts, medianDurationMs } from '@croft/store/attempts';
import { buildsOfCommits, countQueuedBefore, listBuilds } from '@croft/store/build-lists';
import { getBuild, type StoredBuild } from '@croft/store/builds';
import { branchCommits, branches, getCommits } from '@croft/store/commits';
import type { Sql } from '@croft/store/database';
import { getRepo, listRepos } from '@croft/store/repos';
import { stepsOf } from '@croft/store/steps';
import type { BuildFilter } from '../capabilities.ts';
import { toAttemptView, toCommitView, toSummary } from './views.ts';

/** What a summary needs beside the build itself. */
export interface Outlook {
  readonly plan: Plan;
  readonly builders: readonly Builder[];
  /** Of attempts that run. */
  readonly troubles: readonly Trouble[];
}

export async function summarize(sql: Sql, builds: readonly StoredBuild[], outlook: Outlook): Promise<BuildSummary[]> {
  const attempts = await lastAttempts(
    sql,
    builds.map((build) => build.id),
  );
  const medians = new Map<BuilderName, number | undefined>();
  for (const { builder, state } of builds) {
    if (state.kind !== 'ended' && !medians.has(builder)) medians.set(builder, await medianDurationMs(sql, builder));
  }
  const summaries: BuildSummary[] = [];
  const known = new Map(outlook.builders.map(({ name, knownIssues }) => [name, knownIssues]));
  for (const build of builds) {
    const knownIssues = known.get(build.builder);
    const wait = build.state.kind === 'queued' ? await waitOf(sql, build, outlook) : undefined;
    summaries.push(toSummary(build, { attempt: attempts.get(build.id), wait, medianMs: medians.get(build.builder), knownIssues }));
  }
  return summaries;
}

/** Beyond the head of the queue the plan does not say; then the position is counted. */
async function waitOf(sql: Sql, build: StoredBuild, { plan, builders }: Outlook): Promise<WaitReason> {
  const known = plan.reasons.get(build.id);
  if (known) return known;
  if (plan.assign.some((assignment) => assignment.build === build.id)) return { code: 'machines-busy', text: 'starts now', position: 0 };
  if (!builders.some((builder) => builder.name === build.builder)) {
    return { code: 'no-machine', text: `builder ${build.builder} is not configured any more`, position: 0 };
  }
  const position = await countQueuedBefore(sql, { needsKey: needsKey(build.needs), band: build.band, seq: build.seq });
  return { code: 'behind', text: `${position} ahead`, position };
}

export async function readBuilds(
  sql: Sql,
  { repo, builder, revision, state, limit, before }: BuildFilter,
  outlook: Outlook,
): Promise<BuildList> {
  const seq = before === undefined ? undefined : Number(before);
  if (seq !== undefined && !Number.isSafeInteger(seq)) throw new CroftError('invalid', `"${before}" does not continue a list`);
  const filter = {
    repo: repo as RepoName | undefined,
    builder: builder as BuilderName | undefined,
    revision: revision as Revision | undefined,
  };
  const found: StoredBuild[] = [];
  for (const kind of state === 'running' ? (['running', 'cancelling'] as const) : [state]) {
    found.push(...(await listBuilds(sql, { ...filter, state: kind, limit: limit + 1, before: seq })));
  }
  const builds = found.toSorted((a, b) => b.seq - a.seq).slice(0, limit + 1);
  const page = builds.slice(0, limit);
  const last = builds.length > limit ? page.at(-1) : undefined;
  return { builds: await summarize(sql, page, outlook), ...(last ? { next: String(last.seq) } : {}) };
}

export async function readBuild(sql: Sql, id: BuildId, outlook: Outlook): Promise<BuildDetail | undefined> {
  const build = await getBuild(sql, id);
  const [summary] = build ? await summarize(sql, [build], outlook) : [];
  if (!build || !summary) return undefined;
  const attempts = await attemptsOf(sql, id);
  const commit = (await getCommits(sql, build.repo, [build.revision])).get(build.revision);
  const attemptList = [];
  for (const attempt of attempts) attemptList.push(toAttemptView(attempt, await stepsOf(sql, attempt)));
  const trouble = outlook.troubles.find((candidate) => candidate.build === id);
  return { ...summary, ...(commit ? { commit: toCommitView(build.repo, commit) } : {}), attemptList, ...(trouble ? { trouble } : {}) };
}

export interface GridQuery {
  readonly repo?: string | undefined;
  readonly branch?: string | undefined;
  readonly page: number;
  readonly pageSize?: number;
  /** Only these repositories are there; all of them without it. */
  readonly allowed?: ((repo: string) => boolean) | undefined;
}

/** coordinator.md 9.4: 30 commits a page. */
const defaultPageSize = 30;

/** @throws CroftError `not-found` for a repository or branch that is not known. */
export async function readGrid(
  sql: Sql,
  query: GridQuery,
  { repos, outlook }: { repos: readonly RepoName[]; outlook: Outlook },
): Promise<Grid> {
  const known = [...new Set([...repos, ...(await listRepos(sql)).map((repo) => repo.name)])].filter(query.allowed ?? (() => true));
  const repo = query.repo === undefined ? known[0] : parseRepoName(query.repo);
  if (repo === undefined) return emptyGrid(query.page);
  if (!known.includes(repo)) throw new CroftError('not-found', `no repository is called "${repo}"; there are: ${known.join(', ')}`);
  const tips = await branches(sql, repo);
  const names = tips.map((tip) => tip.branch);
  const builders = outlook.builders.filter((builder) => builder.repos.includes(repo)).map((builder) => builder.name);
  const branch = query.branch ?? (await preferredBranch(sql, repo, names));
  if (branch === undefined) return { ...emptyGrid(query.page), repo, repos: known, builders };
  const tip = tips.find((candidate) => candidate.branch === branch);
  if (!tip) throw new CroftError('not-found', `${repo} has no branch "${branch}"; there are: ${names.join(', ') || 'none'}`);
  const pageSize = query.pageSize ?? defaultPageSize;
  const before = tip.position + 1 - query.page * pageSize;
  const commits = await branchCommits(sql, repo, { branch, limit: pageSize + 1, before });
  const shown = commits.slice(0, pageSize);
  const revisions = shown.map((commit) => commit.revision);
  const builds = await buildsOfCommits(sql, repo, revisions);
  const onBranch = builds.filter((build) => build.trigger.kind === 'branch');
  const summaries = await summarize(sql, onBranch, outlook);
  const columns = [...new Set([...builders, ...summaries.map((summary) => summary.builder)])];
  const cells = new Map(summaries.map((summary) => [`${summary.revision} ${summary.builder}`, summary]));
  return {
    repo,
    repos: known,
    branch,
    branches: names,
    page: query.page,
    older: commits.length > pageSize,
    builders: columns,
    rows: shown.map((commit) => ({
      commit: toCommitView(repo, commit),
      cells: columns.map((builder) => cells.get(`${commit.revision} ${builder}`) ?? null),
    })),
  };
}

async function preferredBranch(sql: Sql, repo: RepoName, names: readonly string[]): Promise<string | undefined> {
  const preferred = (await getRepo(sql, repo))?.defaultBranch;
  return preferred !== undefined && names.includes(preferred) ? preferred : names[0];
}

function emptyGrid(page: number): Grid {
  return { repo: '', repos: [], branch: '', branches: [], page, older: false, builders: [], rows: [] };
}

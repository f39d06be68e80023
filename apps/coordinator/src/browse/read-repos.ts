/** Repositories, and one of them with the tips of its branches and what was built of them. */
import type { RepoName } from '@croft/domain/names';
import { CroftError } from '@croft/runtime/errors';
import { buildsOfCommits } from '@croft/store/build-lists';
import { branches, getCommits } from '@croft/store/commits';
import type { Sql } from '@croft/store/database';
import { getRepo, listRepos } from '@croft/store/repos';
import { summarize, type Outlook } from '../queries/read-builds.ts';
import { toCommitView } from '../queries/views.ts';
import { browseSize, type BranchTip, type Paged, type PageQuery, type RepoDetail, type RepoOverview } from './browse.ts';

const shownBranches = 200;

/** Those that are configured, in their order, then those that once were. */
export async function readRepos(
  sql: Sql,
  { page, allowed = () => true }: PageQuery,
  { repos, outlook }: { repos: readonly RepoName[]; outlook: Outlook },
): Promise<Paged<RepoOverview>> {
  const known = [...new Set([...repos, ...(await listRepos(sql)).map(({ name }) => name)])].filter(allowed);
  const rows: RepoOverview[] = [];
  for (const name of known.slice(page * browseSize, (page + 1) * browseSize)) {
    const { tips } = await sortedTips(sql, name);
    const [tip] = await tipsOf(sql, name, { tips: tips.slice(0, 1), outlook });
    rows.push({ name, branches: tips.length, tip });
  }
  return { rows, page, total: known.length };
}

/** @throws CroftError `not-found` */
export async function readRepo(
  sql: Sql,
  asked: string,
  { repos, outlook }: { repos: readonly RepoName[]; outlook: Outlook },
): Promise<RepoDetail> {
  const known = [...repos, ...(await listRepos(sql)).map((repo) => repo.name)];
  const name = known.find((candidate) => candidate === asked);
  if (name === undefined) throw new CroftError('not-found', `no repository is called ${JSON.stringify(asked.slice(0, 100))}`);
  const { tips, preferred } = await sortedTips(sql, name);
  return {
    name,
    defaultBranch: preferred,
    branches: await tipsOf(sql, name, { tips: tips.slice(0, shownBranches), outlook }),
    more: Math.max(0, tips.length - shownBranches),
    builders: outlook.builders.filter((builder) => builder.repos.includes(name)).map((builder) => builder.name),
  };
}

type Tip = Awaited<ReturnType<typeof branches>>[number];

async function sortedTips(sql: Sql, repo: RepoName): Promise<{ tips: Tip[]; preferred: string | undefined }> {
  const preferred = (await getRepo(sql, repo))?.defaultBranch;
  const tips = await branches(sql, repo);
  return { preferred, tips: tips.toSorted((a, b) => Number(b.branch === preferred) - Number(a.branch === preferred)) };
}

async function tipsOf(sql: Sql, repo: RepoName, { tips, outlook }: { tips: readonly Tip[]; outlook: Outlook }): Promise<BranchTip[]> {
  const revisions = [...new Set(tips.map(({ revision }) => revision))];
  const commits = await getCommits(sql, repo, revisions);
  const stored = (await buildsOfCommits(sql, repo, revisions)).filter(({ trigger }) => trigger.kind === 'branch');
  const builds = Map.groupBy(await summarize(sql, stored, outlook), ({ revision }) => revision);
  return tips.flatMap(({ branch, revision }) => {
    const commit = commits.get(revision);
    return commit ? [{ branch, commit: toCommitView(repo, commit), builds: builds.get(revision) ?? [] }] : [];
  });
}

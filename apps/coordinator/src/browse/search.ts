/** Finds builds, commits, builders and repositories by the beginning of an id or hash, or by a text in a name or subject. */
import type { Builder } from '@croft/domain/job';
import type { RepoName } from '@croft/domain/names';
import { CroftError } from '@croft/runtime/errors';
import { buildsByPrefix } from '@croft/store/build-lists';
import { branches, commitsByPrefix, commitsByText, type Commit } from '@croft/store/commits';
import type { Sql } from '@croft/store/database';
import { getRepo } from '@croft/store/repos';
import { summarize, type Outlook } from '../queries/read-builds.ts';
import { toCommitView } from '../queries/views.ts';
import type { Found } from './browse.ts';

export interface SearchPlace {
  readonly repos: readonly RepoName[];
  readonly builders: readonly Builder[];
  readonly outlook: Outlook;
}

const longest = 200;
const shown = 20;
/** So many commits are looked through for a text: of each repository the newest, no more of one than the first figure. */
const [deepest, wholeDepth, leastDepth] = [2_000, 40_000, 20];
/** A shorter beginning would match almost everything. */
const shortestHash = 4;

/** @throws CroftError `invalid` for a text that is too long */
export async function search(sql: Sql, text: string, { repos, builders, outlook }: SearchPlace): Promise<Found> {
  const words = text.replaceAll('\0', '').trim(); // no text of PostgreSQL holds one
  if (words.length > longest) throw new CroftError('invalid', `a search has at most ${longest} characters`);
  if (words === '') return { builds: [], commits: [], builders: [], repos: [] };
  const lower = words.toLowerCase();
  const named = (name: string): boolean => name.toLowerCase().includes(lower);
  const depth = Math.max(leastDepth, Math.min(deepest, Math.floor(wholeDepth / Math.max(1, repos.length))));
  const commits: Found['commits'][number][] = [];
  for (const repo of repos) {
    if (commits.length >= shown) break;
    const found = await commitsOf(sql, repo, { words, depth });
    commits.push(...found.slice(0, shown - commits.length).map((commit) => toCommitView(repo, commit)));
  }
  const [, id] = /^b([0-9a-f]{1,16})$/.exec(lower) ?? [];
  const builds = id === undefined ? [] : await buildsByPrefix(sql, `B${id}`, shown);
  return {
    builds: await summarize(sql, builds, outlook),
    commits,
    builders: builders
      .map(({ name }) => name)
      .filter(named)
      .slice(0, shown),
    repos: repos.filter(named).slice(0, shown),
  };
}

async function commitsOf(sql: Sql, repo: RepoName, { words, depth }: { words: string; depth: number }): Promise<Commit[]> {
  const prefix = words.toLowerCase();
  const byHash =
    prefix.length >= shortestHash && /^[0-9a-f]{1,64}$/.test(prefix) ? await commitsByPrefix(sql, repo, { prefix, limit: shown }) : [];
  if (byHash.length > 0) return byHash;
  const tips = await branches(sql, repo);
  const preferred = (await getRepo(sql, repo))?.defaultBranch;
  const branch = (tips.find((tip) => tip.branch === preferred) ?? tips[0])?.branch;
  return branch === undefined ? [] : commitsByText(sql, repo, { branch, words, depth, limit: shown });
}

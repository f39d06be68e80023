/**
 * One look at a repository: what its source has now, which branches moved since their builds were stored, and the builds that those
 * lack. It leaves no gap: a branch is settled only once everything down to the configured depth is stored, and else looked at again.
 */
import type { RepoName, Revision } from '@croft/domain/names';
import { isLiteral, selects } from '@croft/domain/pattern';
import type { FarmConfig, Repository } from '@croft/config/farm-config';
import type { Commit, Mirror } from '@croft/forge/git';
import { parseRepositoryUrl } from '@croft/forge/repository-url';
import type { Waits } from '@croft/runtime/clock';
import { errorText } from '@croft/runtime/errors';
import { asksForPaths, eachOnce, wantedBuilds, type BranchHead, type NewBuild, type Toolchain } from './find-work.ts';

export interface FoundBranch extends BranchHead {
  readonly commits: readonly Commit[];
  /** Number of the newest commit on its first-parent chain. */
  readonly position: number;
}

export interface Found {
  readonly repo: RepoName;
  /** For people: without credentials. */
  readonly url: string;
  readonly defaultBranch: string | undefined;
  /** Every branch that exists. */
  readonly heads: Readonly<Record<string, Revision>>;
  /** Some of those that are built and have moved; none when none has. */
  readonly branches: readonly FoundBranch[];
  /** What those lack, each once. */
  readonly builds: readonly NewBuild[];
  /** What is wrong although it could be read. */
  readonly problem: string | undefined;
}

export interface WorkRecords {
  /** Stores the commits and queues what does not exist yet; returns the ids of what it queued. */
  recordFound(found: Found): Promise<string[]>;
  recordFetchError(repo: RepoName, url: string, error: string): Promise<void>;
}

/** What is remembered between looks. Without it everything is looked at, and nothing is queued twice. */
export interface Settled {
  config: Rules | undefined;
  /** By branch: its tip, what it is built with, and the commits that are built, as of the last look that stored all of it. */
  readonly branches: Map<string, { readonly tip: Revision; readonly beside: string; readonly revisions: ReadonlySet<Revision> }>;
}

export type Rules = Pick<FarmConfig, 'builders' | 'policies' | 'dependents'>;

export interface Look {
  readonly repo: Repository;
  mirror(): Promise<Mirror>;
  readonly config: Rules;
  readonly records: WorkRecords;
  readonly settled: Settled;
  /** Undefined for a repository that needs none. */
  readonly toolchains: readonly Toolchain[] | undefined;
  /** Branches that are said to have moved: all that is asked for. None: everything. */
  readonly first: readonly string[];
}

export interface Looked {
  /** Anything at the source, compared with the last look. */
  readonly changed: boolean;
  readonly moved: readonly string[];
  readonly queued: string[];
}

/** Read and stored together, over all branches; of one branch all that its depth asks for. */
const commitsAtOnce = 1_000;

/** @throws CroftError when the source or the database cannot be reached; the first is stored for people */
export async function look(request: Look, waits: Waits): Promise<Looked> {
  const { repo, records } = request;
  try {
    return await lookInside(request, waits);
  } catch (error) {
    waits.signal?.throwIfAborted();
    await records.recordFetchError(repo.name, parseRepositoryUrl(repo.url).shown, errorText(error));
    throw error;
  }
}

async function lookInside({ repo, config, records, settled, toolchains, first, ...request }: Look, waits: Waits): Promise<Looked> {
  const mirror = await request.mirror();
  const { changed, deepened } = await mirror.fetch({ ...waits, first });
  if (deepened === true || settled.config !== config) settled.branches.clear();
  settled.config = config;
  const source = await readSource(repo, mirror, waits);
  const beside = (toolchains ?? []).map(({ repo: tool, revision }) => `${tool}@${revision}`).join(' ');
  const isSettled = ([branch, tip]: (typeof source.wanted)[number]): boolean => {
    const known = settled.branches.get(branch);
    return known?.tip === tip && known.beside === beside;
  };
  const moved = source.wanted.filter((wanted) => !isSettled(wanted));
  const queued: string[] = [];
  const atOnce = Math.max(1, Math.floor(commitsAtOnce / repo.depth));
  for (let from = 0; from === 0 || from < moved.length; from += atOnce) {
    const part = moved.slice(from, from + atOnce);
    const branches = await readBranches(part, { repo, mirror, config, settled, toolchains }, waits);
    const builds = eachOnce(branches.flatMap((head) => wantedBuilds(head, { ...config, paths: repo.paths })));
    queued.push(...(await records.recordFound({ ...source.facts, branches, builds })));
    for (const { branch, revisions } of branches)
      if (revisions[0]) settled.branches.set(branch, { tip: revisions[0], beside, revisions: new Set(revisions) });
  }
  for (const branch of settled.branches.keys()) if (!Object.hasOwn(source.facts.heads, branch)) settled.branches.delete(branch);
  return { changed, moved: moved.map(([branch]) => branch), queued };
}

interface Source {
  readonly facts: Omit<Found, 'branches' | 'builds'>;
  /** The branches that are built, each with its tip. */
  readonly wanted: readonly (readonly [string, Revision])[];
}

async function readSource(repo: Repository, mirror: Mirror, waits: Waits): Promise<Source> {
  const { shown: url } = parseRepositoryUrl(repo.url);
  const defaultBranch = await mirror.defaultBranch(waits);
  const heads = new Map((await mirror.branches(waits)).map(({ name, revision }) => [name, revision]));
  const patterns = repo.branches.length > 0 ? repo.branches : defaultBranch === undefined ? [] : [defaultBranch];
  const wanted = patterns.length > 0 ? [...heads].filter(([branch]) => selects(patterns, branch)) : [];
  const missing = patterns.filter((pattern) => isLiteral(pattern) && !heads.has(pattern));
  const problem =
    missing.length > 0 ? `there is no branch ${missing.join(', ')}; there are: ${[...heads.keys()].join(', ') || 'none'}` : undefined;
  return { facts: { repo: repo.name, url, defaultBranch, heads: Object.fromEntries(heads), problem }, wanted };
}

type Reading = Pick<Look, 'repo' | 'config' | 'settled' | 'toolchains'> & { readonly mirror: Mirror };

async function readBranches(
  heads: Source['wanted'],
  { repo, mirror, config, settled, toolchains }: Reading,
  waits: Waits,
): Promise<FoundBranch[]> {
  if (heads.length === 0) return [];
  const lines = await mirror.lines({ tips: heads.map(([, tip]) => tip), limit: repo.depth }, waits);
  const branches = heads.map(([branch, tip]) => {
    const { commits, position } = lines.get(tip) ?? { commits: [], position: 0 };
    return { branch, commits, position, known: settled.branches.get(branch)?.revisions };
  });
  // What is settled may still be asked for: the tip, by a toolchain that moved.
  const fresh = branches.flatMap(({ commits, known }) => commits.filter(({ revision }, age) => age === 0 || known?.has(revision) !== true));
  const asked = asksForPaths(repo.name, { ...config, paths: repo.paths });
  const paths = asked
    ? await mirror.changedPaths([...new Map(fresh.map((commit) => [commit.revision, commit])).values()], waits)
    : undefined;
  return branches.map(({ branch, commits, position, known }) => {
    const revisions = commits.map(({ revision }) => revision);
    return { repo: repo.name, branch, commits, position, revisions, settled: known, paths, toolchains };
  });
}

/** Looks for new commits: at every poll, and at once when somebody says that there are some. What it finds is queued in one write. */
import type { RepoName, Revision } from '@croft/domain/names';
import type { Builder } from '@croft/domain/job';
import type { Commit } from '@croft/forge/git';
import { parseRepositoryUrl } from '@croft/forge/repository-url';
import type { Clock, Waits } from '@croft/runtime/clock';
import { CroftError, errorText } from '@croft/runtime/errors';
import type { Log } from '@croft/runtime/log';
import type { RepoConfig } from '../config.ts';
import type { Sources } from './source.ts';
import { missingBuilds, type BranchHead, type NewBuild } from './find-work.ts';

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
  /** Those that are built. */
  readonly branches: readonly FoundBranch[];
  readonly builds: readonly NewBuild[];
}

export interface WorkRecords {
  /** Stores the commits and queues what does not exist yet; returns the ids of what it queued. */
  recordFound(found: Found): Promise<string[]>;
  recordFetchError(repo: RepoName, url: string, error: string): Promise<void>;
}

export interface FindDeps {
  readonly sources: Sources;
  readonly builders: readonly Builder[];
  readonly records: WorkRecords;
  readonly clock: Clock;
  readonly log: Log;
  onQueued(repo: string, builds: readonly string[]): void;
  /** The repository cannot be read at present; the reason is stored. */
  onUnreadable(repo: string): void;
}

export interface Finder {
  /** One look at one repository. @throws CroftError when it cannot be read; the error is also kept for the farm page. */
  find(repo: string, waits: Waits): Promise<string[]>;
  run(waits: { signal: AbortSignal }): Promise<void>;
}

export function createFinder(deps: FindDeps): Finder {
  const turns = new Map<string, Promise<unknown>>();
  const find = (name: string, waits: Waits): Promise<string[]> => {
    const repo = deps.sources.repos.find((candidate) => candidate.name === name);
    if (!repo) return Promise.reject(new CroftError('not-found', `no repository is called "${name}"`));
    const work = (): Promise<string[]> => findIn(repo, deps, waits);
    const mine = (turns.get(name) ?? Promise.resolve()).then(work, work);
    turns.set(
      name,
      mine.catch(() => undefined),
    );
    return mine;
  };
  return {
    find,
    async run({ signal }) {
      await Promise.all(deps.sources.repos.map((repo) => poll(repo, find, { ...deps, signal })));
    },
  };
}

async function poll(
  repo: RepoConfig,
  find: Finder['find'],
  { clock, log, signal }: { clock: Clock; log: Log; signal: AbortSignal },
): Promise<void> {
  while (!signal.aborted) {
    try {
      await find(repo.name, { signal });
    } catch (error) {
      signal.throwIfAborted();
      log.warn('repository not read', { repo: repo.name, error });
    }
    await clock.sleep(repo.pollMs, { signal });
  }
}

async function findIn(repo: RepoConfig, deps: FindDeps, waits: Waits): Promise<string[]> {
  const { sources, builders, records } = deps;
  const { shown: url } = parseRepositoryUrl(repo.url);
  try {
    const mirror = sources.mirror(repo.name);
    await mirror.fetch(waits);
    const defaultBranch = await mirror.defaultBranch(waits);
    const heads = Object.fromEntries((await mirror.branches(waits)).map(({ name, revision }) => [name, revision]));
    const wanted = repo.branches.length > 0 ? repo.branches : defaultBranch === undefined ? [] : [defaultBranch];
    const branches = await Promise.all(
      wanted
        .filter((branch) => branch in heads)
        .map(async (branch): Promise<FoundBranch> => {
          const { commits, position } = await mirror.commits({ from: branch, limit: repo.depth }, waits);
          return { repo: repo.name, branch, commits, position, revisions: commits.map((commit) => commit.revision) };
        }),
    );
    const builds = branches.flatMap((head) => missingBuilds(head, builders, new Set()));
    const queued = await records.recordFound({ repo: repo.name, url, defaultBranch, heads, branches, builds });
    deps.onQueued(repo.name, queued);
    return queued;
  } catch (error) {
    waits.signal?.throwIfAborted();
    await records.recordFetchError(repo.name, url, errorText(error));
    deps.onUnreadable(repo.name);
    throw error;
  }
}

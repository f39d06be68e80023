/** Looks for new commits: at every poll, and at once when somebody says that there are some. What has not moved costs one fetch. */
import type { RepoName, Revision } from '@croft/domain/names';
import { isLiteral, selects } from '@croft/domain/pattern';
import type { FarmConfig, Repository } from '@croft/config/farm-config';
import type { Commit } from '@croft/forge/git';
import { parseRepositoryUrl } from '@croft/forge/repository-url';
import type { Clock, Waits } from '@croft/runtime/clock';
import { CroftError, errorText } from '@croft/runtime/errors';
import type { Log } from '@croft/runtime/log';
import { createBell, type Bell } from '@croft/runtime/tasks';
import { ringOrRest } from '../keep-doing.ts';
import type { Sources } from './source.ts';
import { wantedBuilds, type BranchHead, type NewBuild } from './find-work.ts';

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
  /** Those that are built; none when nothing has moved since the last look. */
  readonly branches: readonly FoundBranch[];
  readonly builds: readonly NewBuild[];
  /** What is wrong although it could be read. */
  readonly problem: string | undefined;
}

export interface WorkRecords {
  /** Stores the commits and queues what does not exist yet; returns the ids of what it queued. */
  recordFound(found: Found): Promise<string[]>;
  recordFetchError(repo: RepoName, url: string, error: string): Promise<void>;
}

export interface FindDeps {
  readonly sources: Sources;
  readonly config: () => Pick<FarmConfig, 'builders' | 'policies'>;
  readonly records: WorkRecords;
  readonly clock: Clock;
  readonly log: Log;
  onQueued(repo: string, builds: readonly string[]): void;
  /** The repository cannot be read at present; the reason is stored. */
  onUnreadable(repo: string): void;
}

export interface Finder {
  /**
   * The next look at a repository, which begins as soon as the present one has ended, however many ask for it. An abort ends the
   * waiting and not the look. @throws CroftError when it cannot be read; the error is also kept for the farm page
   */
  find(repo: string, waits: Waits): Promise<string[]>;
  /** Has the next look begin as `find` does, and returns at once. Branches that are said to have moved are looked at first. */
  wake(repo: string, branches: readonly string[]): void;
  run(waits: { signal: AbortSignal }): Promise<void>;
}

export function createFinder(deps: FindDeps): Finder {
  const places = new Map<string, Place>(
    deps.sources.repos.map((repo) => [repo.name, { repo, bell: createBell(), next: newLook(), stored: undefined }]),
  );
  const placeOf = (name: string): Place => {
    const place = places.get(name);
    if (!place) throw new CroftError('not-found', `no repository is called "${name}"`);
    return place;
  };
  return {
    async find(name, { signal }) {
      const { next, bell } = placeOf(name);
      next.everything = true;
      bell.ring();
      return await unlessAborted(next.result.promise, signal);
    },
    wake(name, branches) {
      const { next, bell } = placeOf(name);
      for (const branch of branches) next.moved.add(branch);
      if (branches.length === 0) next.everything = true;
      bell.ring();
    },
    async run(waits) {
      await Promise.all([...places.values()].map((place) => keepLooking(place, deps, waits)));
    },
  };
}

/** One repository and where its looks stand. */
interface Place {
  readonly repo: Repository;
  readonly bell: Bell;
  /** The look that has not begun. */
  next: Look;
  /** Branches and HEAD as they were when everything about them was stored. */
  stored: string | undefined;
}

interface Look {
  readonly result: PromiseWithResolvers<string[]>;
  /** Branches that are said to have moved: all that is looked at, unless somebody wants `everything`. */
  readonly moved: Set<string>;
  everything: boolean;
}

function newLook(): Look {
  const result = Promise.withResolvers<string[]>();
  result.promise.catch(() => undefined); // perhaps nobody waits for it
  return { result, moved: new Set(), everything: false };
}

async function keepLooking(place: Place, deps: FindDeps, waits: { signal: AbortSignal }): Promise<void> {
  const { repo, bell } = place;
  try {
    for (;;) {
      const look = place.next;
      place.next = newLook();
      try {
        const first = look.everything ? [] : [...look.moved];
        look.result.resolve(await findIn(place, deps, { ...waits, first }));
      } catch (error) {
        look.result.reject(error);
        waits.signal.throwIfAborted();
        deps.log.warn('repository not read', { repo: repo.name, error });
      }
      await ringOrRest(bell, repo.pollMs, { ...waits, clock: deps.clock });
    }
  } finally {
    place.next.result.reject(new CroftError('stopped', 'the coordinator stops'));
  }
}

async function findIn(
  place: Place,
  { sources, config, records, onQueued, onUnreadable }: FindDeps,
  { first, ...waits }: Waits & { readonly first: readonly string[] },
): Promise<string[]> {
  const { repo } = place;
  const { shown: url } = parseRepositoryUrl(repo.url);
  try {
    const mirror = sources.mirror(repo.name);
    await mirror.fetch({ ...waits, first });
    const defaultBranch = await mirror.defaultBranch(waits);
    const heads = new Map((await mirror.branches(waits)).map(({ name, revision }) => [name, revision]));
    const patterns = repo.branches.length > 0 ? repo.branches : defaultBranch === undefined ? [] : [defaultBranch];
    const wanted = patterns.length > 0 ? [...heads.keys()].filter((branch) => selects(patterns, branch)) : [];
    const missing = patterns.filter((pattern) => isLiteral(pattern) && !heads.has(pattern));
    const here = JSON.stringify([defaultBranch, ...heads]);
    const moved = place.stored === here ? [] : wanted;
    const branches = await Promise.all(
      moved.map(async (branch): Promise<FoundBranch> => {
        const { commits, position } = await mirror.commits({ from: branch, limit: repo.depth }, waits);
        return { repo: repo.name, branch, commits, position, revisions: commits.map((commit) => commit.revision) };
      }),
    );
    const builds = branches.flatMap((head) => wantedBuilds(head, config()));
    const problem =
      missing.length > 0 ? `there is no branch ${missing.join(', ')}; there are: ${[...heads.keys()].join(', ') || 'none'}` : undefined;
    const found = { repo: repo.name, url, defaultBranch, heads: Object.fromEntries(heads), branches, builds, problem };
    const queued = await records.recordFound(found);
    place.stored = here;
    onQueued(repo.name, queued);
    return queued;
  } catch (error) {
    waits.signal?.throwIfAborted();
    await records.recordFetchError(repo.name, url, errorText(error));
    onUnreadable(repo.name);
    throw error;
  }
}

async function unlessAborted<T>(promise: Promise<T>, signal: AbortSignal | undefined): Promise<T> {
  const aborted = Promise.withResolvers<never>();
  const onAbort = (): void => aborted.reject(signal?.reason);
  signal?.throwIfAborted();
  signal?.addEventListener('abort', onAbort, { once: true });
  try {
    return await Promise.race([promise, aborted.promise]);
  } finally {
    signal?.removeEventListener('abort', onAbort);
  }
}

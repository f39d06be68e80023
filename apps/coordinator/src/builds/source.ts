/** The repositories being farmed: one mirror each, the plan of a commit's steps, and the exact tree as an archive. */
import { join } from 'node:path';
import type { Repository } from '@croft/config/farm-config';
import { historyOf } from '@croft/domain/job';
import type { RepoName, Revision } from '@croft/domain/names';
import { planSteps } from '@croft/domain/plan-steps';
import { treeOfCommit } from '@croft/forge/detection-tree';
import { openMirror, type Mirror } from '@croft/forge/git';
import { parseRepositoryUrl } from '@croft/forge/repository-url';
import type { Clock } from '@croft/runtime/clock';
import { CroftError } from '@croft/runtime/errors';
import { needFiles, resolveCaches } from '../caches/cache-keys.ts';
import type { FarmDeps, SourceOf } from './work.ts';

export interface Sources extends AsyncDisposable {
  /** Those that are configured now. */
  readonly repos: readonly Repository[];
  /** A mirror that is not wanted any more stays open: builds may be reading it. @throws CroftError `invalid` for a wrong address */
  declare(repos: readonly Repository[]): void;
  /** Opened when it is first asked for. @throws CroftError `not-found` for a repository that was never configured */
  mirror(repo: string): Promise<Mirror>;
  readonly forBuilds: FarmDeps['source'];
}

/** @throws CroftError `invalid` for a wrong address */
export function openSources(repos: readonly Repository[], { dir, clock }: { dir: string; clock: Clock }): Sources {
  let declared: readonly Repository[] = [];
  const declare = (wanted: readonly Repository[]): void => {
    for (const { url } of wanted) parseRepositoryUrl(url);
    declared = wanted;
  };
  declare(repos);
  const mirrors = createMirrors(dir, clock);
  const mirror = async (repo: string): Promise<Mirror> => {
    const url = declared.find(({ name }) => name === repo)?.url ?? mirrors.urlOf(repo);
    if (url !== undefined) return mirrors.at(repo, url);
    const names = declared.map(({ name }) => name).join(', ');
    throw new CroftError('not-found', `no repository is called "${repo}"; there are: ${names || 'none'}`);
  };
  return {
    get repos() {
      return declared;
    },
    declare,
    mirror,
    forBuilds: {
      async plan({ builder, revisions }, waits) {
        const { repo, revision } = main(revisions);
        return planSteps(builder, async () => treeOfCommit(await mirror(repo), revision, waits));
      },
      async caches({ builder, revisions }, waits) {
        const { repo, revision } = main(revisions);
        const tree = needFiles(builder.caches) ? await (await mirror(repo)).tree(revision, waits) : [];
        return resolveCaches(
          builder.caches,
          tree.map(({ path, id }) => ({ path: path.toString(), id })),
        );
      },
      async *tar({ builder, revisions }, { gzipLevel, signal }) {
        const { repo, revision } = main(revisions);
        yield* (await mirror(repo)).sourceTar(revision, { signal }, { ...builder.source, history: historyOf(builder), gzipLevel });
      },
    },
    [Symbol.asyncDispose]: () => mirrors[Symbol.asyncDispose](),
  };
}

interface Mirrors extends AsyncDisposable {
  /** From where the open one fetches. */
  urlOf(repo: string): string | undefined;
  at(repo: string, url: string): Promise<Mirror>;
}

/** One for each repository, also when its address is edited: two of one directory would clear away what the other is writing. */
function createMirrors(dir: string, clock: Clock): Mirrors {
  const opened = new Map<string, { readonly url: string; readonly mirror: Promise<Mirror> }>();
  const moved = async (opening: Promise<Mirror>, url: string): Promise<Mirror> => {
    const mirror = await opening;
    mirror.moveTo(url);
    return mirror;
  };
  return {
    urlOf: (repo) => opened.get(repo)?.url,
    at(repo, url) {
      const here = opened.get(repo);
      if (here?.url === url) return here.mirror;
      const fresh = (): Promise<Mirror> => openMirror({ dir: join(dir, `${repo}.git`), url, clock, gitHome: join(dir, 'home') });
      const mirror = here ? moved(here.mirror, url) : fresh();
      opened.set(repo, { url, mirror });
      mirror.catch(() => opened.delete(repo)); // tried again when it is next asked for
      return mirror;
    },
    async [Symbol.asyncDispose]() {
      await using stack = new AsyncDisposableStack();
      for (const { mirror } of opened.values()) stack.use(await mirror.catch(() => undefined));
    },
  };
}

function main(revisions: SourceOf['revisions']): { repo: RepoName; revision: Revision } {
  const first = revisions[0];
  if (!first) throw new CroftError('internal', 'a build without revisions');
  return first;
}

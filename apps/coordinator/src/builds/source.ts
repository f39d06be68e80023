/** The repositories being farmed: one mirror each, the plan of a commit's steps, and the exact tree as an archive. */
import { join } from 'node:path';
import type { Repository } from '@croft/config/farm-config';
import type { RepoName, Revision } from '@croft/domain/names';
import { planSteps } from '@croft/domain/plan-steps';
import { treeOfCommit } from '@croft/forge/detection-tree';
import { openMirror, type Mirror } from '@croft/forge/git';
import type { Clock } from '@croft/runtime/clock';
import { CroftError } from '@croft/runtime/errors';
import type { FarmDeps, SourceOf } from './work.ts';

export interface Sources extends AsyncDisposable {
  /** Those that are configured now. */
  readonly repos: readonly Repository[];
  /** Opens what is new. A mirror that is not wanted any more stays open: builds may be reading it. */
  declare(repos: readonly Repository[]): Promise<void>;
  /** @throws CroftError `not-found` for a repository that is not configured. */
  mirror(repo: string): Mirror;
  readonly forBuilds: FarmDeps['source'];
}

export async function openSources(repos: readonly Repository[], options: { dir: string; clock: Clock }): Promise<Sources> {
  await using stack = new AsyncDisposableStack();
  const mirrors = new Map<string, { readonly url: string; readonly mirror: Mirror }>();
  let declared: readonly Repository[] = [];
  const declare = async (wanted: readonly Repository[]): Promise<void> => {
    for (const { name, url } of wanted) {
      if (mirrors.get(name)?.url === url) continue;
      const gitHome = join(options.dir, 'home');
      const mirror = await openMirror({ dir: join(options.dir, `${name}.git`), url, clock: options.clock, gitHome });
      mirrors.set(name, { url, mirror: opened.use(mirror) });
    }
    declared = wanted;
  };
  const opened = stack.use(new AsyncDisposableStack());
  await declare(repos);
  const mirror = (repo: string): Mirror => {
    const found = mirrors.get(repo)?.mirror;
    if (!found)
      throw new CroftError(
        'not-found',
        `no repository is called "${repo}"; there are: ${declared.map(({ name }) => name).join(', ') || 'none'}`,
      );
    return found;
  };
  const owned = stack.move();
  return {
    get repos() {
      return declared;
    },
    declare,
    mirror,
    forBuilds: {
      plan: ({ builder, revisions }, waits) => {
        const { repo, revision } = main(revisions);
        return planSteps(builder, () => treeOfCommit(mirror(repo), revision, waits));
      },
      tar: ({ builder, revisions }, { gzipLevel, signal }) => {
        const { repo, revision } = main(revisions);
        return mirror(repo).sourceTar(revision, { signal }, { ...builder.source, gzipLevel });
      },
    },
    [Symbol.asyncDispose]: () => owned.disposeAsync(),
  };
}

function main(revisions: SourceOf['revisions']): { repo: RepoName; revision: Revision } {
  const first = revisions[0];
  if (!first) throw new CroftError('internal', 'a build without revisions');
  return first;
}

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
  readonly repos: readonly Repository[];
  /** @throws CroftError `not-found` for a repository that is not configured. */
  mirror(repo: string): Mirror;
  readonly forBuilds: FarmDeps['source'];
}

export async function openSources(repos: readonly Repository[], options: { dir: string; clock: Clock }): Promise<Sources> {
  await using stack = new AsyncDisposableStack();
  const mirrors = new Map<string, Mirror>();
  for (const { name, url } of repos) {
    const gitHome = join(options.dir, 'home');
    const mirror = await openMirror({ dir: join(options.dir, `${name}.git`), url, clock: options.clock, gitHome });
    mirrors.set(name, stack.use(mirror));
  }
  const mirror = (repo: string): Mirror => {
    const found = mirrors.get(repo);
    if (!found)
      throw new CroftError('not-found', `no repository is called "${repo}"; there are: ${[...mirrors.keys()].join(', ') || 'none'}`);
    return found;
  };
  const owned = stack.move();
  return {
    repos,
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

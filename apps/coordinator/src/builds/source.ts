/** The repositories being farmed: one mirror each, the plan of a commit's steps, and the exact tree as an archive. */
import { join } from 'node:path';
import type { Repository } from '@croft/config/farm-config';
import type { Builder } from '@croft/domain/job';
import type { RepoName, Revision } from '@croft/domain/names';
import { detectSteps } from '@croft/domain/detect-steps';
import { openMirror, type Mirror } from '@croft/forge/git';
import type { Clock, Waits } from '@croft/runtime/clock';
import { CroftError, isCode } from '@croft/runtime/errors';
import type { FarmDeps, SourceOf, StepPlan } from './work.ts';

export interface Sources extends AsyncDisposable {
  readonly repos: readonly Repository[];
  /** @throws CroftError `not-found` for a repository that is not configured. */
  mirror(repo: string): Mirror;
  readonly forBuilds: FarmDeps['source'];
}

/** Larger files at the root are not read when looking for the command. */
const detectBytes = 1024 * 1024;

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
      plan: ({ builder, revisions }, waits) => planSteps(builder, main(revisions), mirror, waits),
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

async function planSteps(
  { name, steps }: Builder,
  { repo, revision }: { repo: RepoName; revision: Revision },
  mirror: (repo: string) => Mirror,
  waits: Waits,
): Promise<StepPlan | string> {
  if (steps !== 'detect') return { steps, reason: `configured for ${name}` };
  const modes = new Map((await mirror(repo).tree(revision, waits)).map((entry) => [entry.path.toString('latin1'), entry.mode]));
  return detectSteps({
    paths: () => [...modes.keys()],
    mode: (path) => modes.get(path),
    read: async (path) => (modes.has(path) ? readSmall(mirror(repo), { revision, path }, waits) : undefined),
  });
}

/** @throws CroftError `invalid` for one that is too large: that is the commit's doing and not a machine's. */
async function readSmall(
  mirror: Mirror,
  { revision, path }: { revision: Revision; path: string },
  waits: Waits,
): Promise<string | undefined> {
  try {
    return (await mirror.readFile(revision, path, waits, detectBytes))?.toString('utf8');
  } catch (error) {
    if (!isCode(error, 'exhausted')) throw error;
    throw new CroftError('invalid', `${path} of this commit is larger than ${detectBytes} bytes`, { cause: error });
  }
}

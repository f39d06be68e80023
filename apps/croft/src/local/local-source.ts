/** The trees that a run begins with: this repository's as it lies here or as HEAD holds it, and a toolchain's beside it. */
import { join } from 'node:path';
import type { Dependents, FarmConfig } from '@croft/config/farm-config';
import type { Tree } from '@croft/domain/detect-steps';
import { historyOf, type Builder, type RepoRevision } from '@croft/domain/job';
import type { RepoName, Revision } from '@croft/domain/names';
import { treeOfCommit, treeOfFiles } from '@croft/forge/detection-tree';
import { openMirror, type Mirror, type MirrorOptions } from '@croft/forge/git';
import { tipsOf } from '@croft/forge/tips';
import type { WorkingTree } from '@croft/forge/working-tree';
import { CroftError } from '@croft/runtime/errors';
import type { Waits } from '@croft/runtime/clock';

export type Git = Pick<MirrorOptions, 'gitHome' | 'clock' | 'path'>;

export type Packing = Waits & { readonly gzipLevel: number };

export interface LocalSource {
  readonly revision: RepoRevision;
  /** For the steps that are found in it. */
  tree(): Promise<Tree>;
  tar(packing: Packing): AsyncIterable<Buffer>;
}

export interface SourceNeeds extends Waits {
  readonly builder: Builder;
  /** A directory of ours, for mirrors. */
  readonly dir: string;
  readonly git: Git;
  readonly stack: AsyncDisposableStack;
}

export function workingSource(repo: RepoName, working: WorkingTree, { builder, signal }: SourceNeeds): LocalSource {
  return {
    revision: { repo, revision: notCommitted },
    tree: () => treeOfFiles(working, { signal }),
    tar: ({ gzipLevel, ...waits }) => working.sourceTar(waits, { ...builder.source, gzipLevel }),
  };
}

/** Stands for the working tree, which is no commit. */
const notCommitted = '0'.repeat(40) as Revision;

/** @throws CroftError `invalid` while there is no commit */
export async function committedSource(repo: RepoName, { root, branch = 'HEAD' }: WorkingTree, needs: SourceNeeds): Promise<LocalSource> {
  const mirror = await fetched('own', root, needs);
  const found = (await mirror.branches(needs)).find(({ name }) => name === branch);
  if (found) return sourceOfCommit({ repo, revision: found.revision }, mirror, needs);
  throw new CroftError('invalid', `${root} has no commit yet`, { hint: 'Make one, or leave out --committed.' });
}

/** With the newest commit of its first branch, as the farm builds older commits; undefined where nothing is built with one. */
export async function toolchainSource(
  repo: RepoName,
  { dependents, repos }: FarmConfig,
  needs: SourceNeeds,
): Promise<LocalSource | undefined> {
  const first: Dependents | undefined = dependents.find((one) => one.repos.includes(repo));
  const url = repos.find(({ name }) => name === first?.toolchain)?.url;
  if (first === undefined || url === undefined) return undefined;
  const mirror = await fetched('toolchain', url, needs);
  const [tip] = await tipsOf(mirror, first.branches, needs);
  if (tip) return sourceOfCommit({ repo: first.toolchain, revision: tip.revision }, mirror, needs);
  throw new CroftError('invalid', `the toolchain ${first.toolchain} has no branch that "dependents" selects`);
}

async function fetched(name: string, url: string, { dir, git, stack, signal }: SourceNeeds): Promise<Mirror> {
  const mirror = stack.use(await openMirror({ ...git, dir: join(dir, `${name}.git`), url }));
  await mirror.fetch({ signal });
  return mirror;
}

function sourceOfCommit(revision: RepoRevision, mirror: Mirror, { builder, signal }: SourceNeeds): LocalSource {
  return {
    revision,
    tree: () => treeOfCommit(mirror, revision.revision, { signal }),
    tar: ({ gzipLevel, ...waits }) =>
      mirror.sourceTar(revision.revision, waits, { ...builder.source, history: historyOf(builder), gzipLevel }),
  };
}

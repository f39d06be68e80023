/** Which builds there should be: pure, from the newest commits of a branch and the configuration. Those that exist already are the same. */
import type { Dependents } from '@croft/config/farm-config';
import { bands, buildId, type Band, type Builder, type BuildKey, type RepoRevision } from '@croft/domain/job';
import { selects } from '@croft/domain/pattern';
import { decide, type PolicyRule } from '@croft/domain/policy';
import type { BuildId, RepoName, Revision } from '@croft/domain/names';

export interface BranchHead {
  readonly repo: RepoName;
  readonly branch: string;
  /** Newest first, as many as are to be built. */
  readonly revisions: readonly Revision[];
  /** Those of which every build is stored already. */
  readonly settled?: ReadonlySet<Revision> | undefined;
  /** What each changes; one that is missing is built wherever it was. */
  readonly paths?: ReadonlyMap<Revision, readonly string[]> | undefined;
  /** What each is built with, each time one of them moves; undefined for what needs none. */
  readonly toolchains?: readonly Toolchain[] | undefined;
}

/** The tip of a branch of a repository that others are built with. */
export interface Toolchain extends RepoRevision {
  readonly branch: string;
}

export interface NewBuild extends BuildKey {
  readonly id: BuildId;
  readonly band: Band;
  readonly builder: Builder['name'];
  readonly needs: Builder['needs'];
  /** A gap to be filled: not wanted where its builder has built the revision with any toolchain. */
  readonly fills?: boolean;
}

/** What says which builds are wanted. */
export interface Wanted {
  readonly builders: readonly Builder[];
  readonly policies: readonly PolicyRule[];
  /** Patterns of the repository: a commit that changes none of these is not built. */
  readonly paths?: readonly string[] | undefined;
  readonly dependents?: readonly Dependents[] | undefined;
}

/** In the order in which they should queue: the tip for every builder, then the commits behind it. */
export function wantedBuilds(head: BranchHead, wanted: Wanted): NewBuild[] {
  const { repo, branch, revisions, settled, paths, toolchains } = head;
  const mine = wanted.builders.filter(({ repos, branches }) => repos.includes(repo) && selects(branches, branch));
  const own = wanted.dependents?.some(({ toolchain }) => toolchain === repo) ? branch : undefined;
  const wantedBy = (changed: readonly string[] | undefined, beside: Toolchain | undefined): Builder[] => {
    const question = { repo, branch, toolchainBranch: beside?.branch ?? own, trigger: 'branch', paths: changed } as const;
    return mine.filter(
      (builder) =>
        touches(wanted.paths, changed) &&
        touches(builder.paths, changed) &&
        decide(wanted.policies, { builder: builder.name, ...question }).allowed,
    );
  };
  return pairsOf(toolchains).flatMap((beside, place) => {
    const whatever = wantedBy(undefined, beside);
    return revisions.flatMap((revision, age) => {
      const older = age > 0 && beside !== undefined;
      if ((older && place > 0) || (settled?.has(revision) && (older || !beside))) return [];
      const changed = paths?.get(revision);
      return (changed ? wantedBy(changed, beside) : whatever).map((builder): NewBuild => {
        const tested = [{ repo, revision }, ...(beside ? [{ repo: beside.repo, revision: beside.revision }] : [])];
        const key = { builder: builder.name, revisions: tested, trigger: { kind: 'branch', ref: branch } } as const;
        return { ...key, id: buildId(key), band: bandOf(builder, age), needs: builder.needs, ...(older ? { fills: true } : {}) };
      });
    });
  });
}

/** With every toolchain the tip is built; the commits behind it only with the first, and once. */
function pairsOf(toolchains: BranchHead['toolchains']): readonly (Toolchain | undefined)[] {
  return toolchains ?? [undefined];
}

/** Whether anything asks what commits of the repository change. */
export function asksForPaths(repo: RepoName, { builders, policies, paths = [] }: Wanted): boolean {
  const mine = builders.filter(({ repos }) => repos.includes(repo));
  return paths.length > 0 || mine.some((builder) => builder.paths.length > 0) || policies.some((rule) => rule.paths.length > 0);
}

/** Each once, in its best band: a commit that one branch has behind its tip may be the tip of another. */
export function eachOnce(builds: readonly NewBuild[]): NewBuild[] {
  const best = new Map<BuildId, NewBuild>();
  for (const build of builds) {
    const other = best.get(build.id);
    if (!other || bands.indexOf(build.band) < bands.indexOf(other.band)) best.set(build.id, build);
  }
  return [...best.values()];
}

function touches(patterns: readonly string[] = [], changed: readonly string[] | undefined): boolean {
  return patterns.length === 0 || changed === undefined || changed.some((path) => selects(patterns, path));
}

/** Older commits wait behind everybody's tips, unless their builder can wait even longer. */
function bandOf({ priority }: Builder, age: number): Band {
  return age === 0 || priority === 'benchmark' ? priority : 'back-fill';
}

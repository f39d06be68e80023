/** Which builds there should be: pure, from the newest commits of a branch and the configuration. Those that exist already are the same. */
import { bands, buildId, type Band, type Builder, type BuildKey } from '@croft/domain/job';
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
}

export interface NewBuild extends BuildKey {
  readonly id: BuildId;
  readonly band: Band;
  readonly builder: Builder['name'];
  readonly needs: Builder['needs'];
}

/** What says which builds are wanted. */
export interface Wanted {
  readonly builders: readonly Builder[];
  readonly policies: readonly PolicyRule[];
  /** Patterns of the repository: a commit that changes none of these is not built. */
  readonly paths?: readonly string[] | undefined;
}

/** In the order in which they should queue: the tip for every builder, then the commits behind it. */
export function wantedBuilds(head: BranchHead, wanted: Wanted): NewBuild[] {
  const { repo, branch, revisions, settled, paths } = head;
  const mine = wanted.builders.filter(({ repos, branches }) => repos.includes(repo) && selects(branches, branch));
  const wantedBy = (changed: readonly string[] | undefined): Builder[] =>
    mine.filter(
      ({ name, paths: own }) =>
        touches(wanted.paths, changed) &&
        touches(own, changed) &&
        decide(wanted.policies, { builder: name, repo, branch, trigger: 'branch', paths: changed }).allowed,
    );
  const whatever = wantedBy(undefined);
  return revisions.flatMap((revision, age) => {
    if (settled?.has(revision)) return [];
    const changed = paths?.get(revision);
    return (changed ? wantedBy(changed) : whatever).map((builder): NewBuild => {
      const key = { builder: builder.name, revisions: [{ repo, revision }], trigger: { kind: 'branch', ref: branch } } as const;
      return { ...key, id: buildId(key), band: bandOf(builder, age), needs: builder.needs };
    });
  });
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

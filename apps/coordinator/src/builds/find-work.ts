/** Which builds there should be: pure, from the newest commits of a branch and the configuration. Those that exist already are the same. */
import { buildId, type Band, type Builder, type BuildKey } from '@croft/domain/job';
import { selects } from '@croft/domain/pattern';
import { decide, type PolicyRule } from '@croft/domain/policy';
import type { BuildId, RepoName, Revision } from '@croft/domain/names';

export interface BranchHead {
  readonly repo: RepoName;
  readonly branch: string;
  /** Newest first, as many as are to be built. */
  readonly revisions: readonly Revision[];
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
}

/** In the order in which they should queue: the tip for every builder, then the commits behind it. */
export function wantedBuilds(head: BranchHead, { builders, policies }: Wanted): NewBuild[] {
  const { repo, branch } = head;
  const mine = builders.filter(
    ({ name, repos, branches }) =>
      repos.includes(repo) && selects(branches, branch) && decide(policies, { builder: name, repo, branch, trigger: 'branch' }).allowed,
  );
  return head.revisions.flatMap((revision, age) =>
    mine.map((builder): NewBuild => {
      const key = {
        builder: builder.name,
        revisions: [{ repo, revision }],
        trigger: { kind: 'branch', ref: branch },
      } as const;
      return { ...key, id: buildId(key), band: bandOf(builder, age), needs: builder.needs };
    }),
  );
}

/** Older commits wait behind everybody's tips, unless their builder can wait even longer. */
function bandOf({ priority }: Builder, age: number): Band {
  return age === 0 || priority === 'benchmark' ? priority : 'back-fill';
}

/** Which builds there should be: pure, from the newest commits of a branch and the builders. Those that exist already are the same. */
import { buildId, type Band, type Builder, type BuildKey } from '@croft/domain/job';
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

/** In the order in which they should queue: the tip for every builder, then the commits behind it. */
export function wantedBuilds(head: BranchHead, builders: readonly Builder[]): NewBuild[] {
  const mine = builders.filter((builder) => builder.repo === head.repo);
  return head.revisions.flatMap((revision, age) =>
    mine.map((builder): NewBuild => {
      const key = {
        builder: builder.name,
        revisions: [{ repo: head.repo, revision }],
        trigger: { kind: 'branch', ref: head.branch },
      } as const;
      return { ...key, id: buildId(key), band: age === 0 ? 'post-submit' : 'back-fill', needs: builder.needs };
    }),
  );
}

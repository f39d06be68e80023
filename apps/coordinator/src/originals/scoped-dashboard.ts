/** The originals' dashboard for a caller that is limited to some repositories: of the others nothing is known. */
import { CroftError } from '@croft/runtime/errors';
import type { Dashboard } from './dashboard.ts';
import { createPackages } from './packages.ts';

export function scopedDashboard(all: Dashboard, allowed: (repo: string) => boolean): Dashboard {
  const visible = createPackages(all.packages.list.map(({ Name }) => Name).filter(allowed));
  const checked = <T extends string | undefined>(repo: T): T => {
    if (repo !== undefined && allowed(repo)) return repo;
    throw new CroftError('not-found', `there is no repository ${JSON.stringify(repo ?? '')}`);
  };
  return {
    packages: visible,
    results: async (query) => all.results({ ...query, repo: checked(visible.repoOf(query.repo ?? '')) }),
    report: async (result) => {
      for (const { repo } of result.revisions) checked(repo);
      return all.report(result);
    },
    clear: async (wish, waits) => all.clear({ ...wish, repo: checked(wish.repo) }, waits),
    commit: async (repo, revision) => all.commit(checked(repo), revision),
    addCommit: async (repo, branch, commit) => all.addCommit(checked(repo), branch, commit),
    // A mark does not say of which repository it is.
    mark() {
      throw new CroftError('forbidden', 'a token limited to some repositories cannot do this');
    },
    active: async () => [],
  };
}

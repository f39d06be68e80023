/** What there is to look through, made up for page tests. */
import { CroftError } from '@croft/runtime/errors';
import type { Browse, BuilderDetail, CommitDetail, Found, RepoDetail, RepoOverview } from './browse.ts';

export interface FakeBrowse extends Browse {
  /** Tests fill it. */
  readonly shelf: {
    repos: RepoOverview[];
    repo: RepoDetail | undefined;
    commit: CommitDetail | undefined;
    builders: BuilderDetail[];
    found: Found;
  };
}

export function fakeBrowse(): FakeBrowse {
  const shelf: FakeBrowse['shelf'] = {
    repos: [],
    repo: undefined,
    commit: undefined,
    builders: [],
    found: { builds: [], commits: [], builders: [], repos: [] },
  };
  const must = <T>(found: T | undefined): T => {
    if (found === undefined) throw new CroftError('not-found', 'there is no such thing');
    return found;
  };
  return {
    shelf,
    repos: async ({ page }) => ({ rows: shelf.repos, page, total: shelf.repos.length }),
    repo: async (name) => must(shelf.repo?.name === name ? shelf.repo : undefined),
    commit: async (repo, revision) =>
      must(shelf.commit?.commit.repo === repo && shelf.commit.commit.revision === revision ? shelf.commit : undefined),
    builders: async ({ page }) => ({ rows: shelf.builders, page, total: shelf.builders.length }),
    builder: async (name) => must(shelf.builders.find((builder) => builder.name === name)),
    search: async () => shelf.found,
  };
}

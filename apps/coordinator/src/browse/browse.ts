/** What people look through beside the grid: one commit, repositories with their branches, builders with their history, and search. */
import type { Builder } from '@croft/domain/job';
import type { RepoName } from '@croft/domain/names';
import type { BuildSummary, CommitView } from '@croft/protocol/api';
import type { Database } from '@croft/store/database';
import type { Outlook } from '../queries/read-builds.ts';
import { readBuilder, readBuilders } from './read-builders.ts';
import { readCommit } from './read-commit.ts';
import { readRepo, readRepos } from './read-repos.ts';
import { search } from './search.ts';

export interface Browse {
  repos(query: PageQuery): Promise<Paged<RepoOverview>>;
  /** @throws CroftError `not-found` */
  repo(name: string): Promise<RepoDetail>;
  /** @throws CroftError `not-found` */
  commit(repo: string, revision: string): Promise<CommitDetail>;
  builders(query: PageQuery): Promise<Paged<BuilderOverview>>;
  /** @throws CroftError `not-found` */
  builder(name: string): Promise<BuilderDetail>;
  search(text: string, of?: Pick<PageQuery, 'allowed'>): Promise<Found>;
}

export interface PageQuery {
  /** From 0. */
  readonly page: number;
  /** Only what belongs to these repositories; all of them without it. */
  readonly allowed?: ((repo: string) => boolean) | undefined;
}

export interface Paged<T> {
  readonly rows: readonly T[];
  readonly page: number;
  /** How many there are on all pages. */
  readonly total: number;
}

export const browseSize = 50;

export interface RepoOverview {
  readonly name: string;
  readonly branches: number;
  /** Where development happens; undefined while nothing was found. */
  readonly tip: BranchTip | undefined;
}

export interface BranchTip {
  readonly branch: string;
  readonly commit: CommitView;
  readonly builds: readonly BuildSummary[];
}

export interface RepoDetail {
  readonly name: string;
  readonly defaultBranch: string | undefined;
  /** The default branch, then by name. */
  readonly branches: readonly BranchTip[];
  /** How many branches are not among them. */
  readonly more: number;
  readonly builders: readonly string[];
}

export interface BuildBeside {
  readonly build: BuildSummary;
  /** The other revisions that it was built with. */
  readonly beside: readonly { readonly repo: string; readonly revision: string }[];
}

export interface CommitDetail {
  readonly commit: CommitView;
  readonly parents: readonly string[];
  readonly branches: readonly string[];
  /** The neighbours on the first of these branches. */
  readonly older: CommitView | undefined;
  readonly newer: CommitView | undefined;
  readonly builds: readonly BuildBeside[];
  /** Builds of other repositories' commits that used this one. */
  readonly dependents: readonly BuildBeside[];
}

export interface BuilderOverview {
  readonly name: string;
  readonly repos: readonly string[];
  /** The newest first. */
  readonly recent: readonly BuildSummary[];
  readonly rate: SuccessRate;
  readonly medianMs: number | undefined;
}

/** Of the recent builds: infrastructure and cancelling say nothing about the code. */
export interface SuccessRate {
  readonly passed: number;
  readonly failed: number;
  readonly infra: number;
}

export interface BuilderDetail extends BuilderOverview {
  /** Undefined when it is not configured any more. */
  readonly settings: Pick<Builder, 'needs' | 'isolation' | 'trust' | 'knownIssues' | 'hostType'> | undefined;
  readonly steps: 'detect' | readonly { readonly name: string; readonly limitMs: number }[];
  readonly waiting: readonly BuildSummary[];
}

export interface Found {
  readonly builds: readonly BuildSummary[];
  readonly commits: readonly CommitView[];
  readonly builders: readonly string[];
  readonly repos: readonly string[];
}

export interface BrowseDeps {
  readonly db: Pick<Database, 'read'>;
  readonly builders: () => readonly Builder[];
  readonly repos: () => readonly RepoName[];
  readonly outlook: () => Promise<Outlook>;
}

export function createBrowse({ db, builders, repos, outlook }: BrowseDeps): Browse {
  return {
    async repos(query) {
      const view = await outlook();
      return db.read((sql) => readRepos(sql, query, { repos: repos(), outlook: view }));
    },
    async repo(name) {
      const view = await outlook();
      return db.read((sql) => readRepo(sql, name, { repos: repos(), outlook: view }));
    },
    async commit(repo, revision) {
      const view = await outlook();
      return db.read((sql) => readCommit(sql, { repo, revision }, view));
    },
    async builders(query) {
      const view = await outlook();
      return db.read((sql) => readBuilders(sql, query, view));
    },
    async builder(name) {
      const view = await outlook();
      return db.read((sql) => readBuilder(sql, name, view));
    },
    async search(text, { allowed = () => true } = {}) {
      const view = await outlook();
      const place = {
        repos: repos().filter(allowed),
        builders: builders().filter((builder) => builder.repos.some(allowed)),
        outlook: view,
      };
      const { builds, ...found } = await db.read((sql) => search(sql, text, place));
      return { ...found, builds: builds.filter(({ repo }) => allowed(repo)) };
    },
  };
}

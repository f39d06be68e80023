/**
 * The originals' names for repositories: the main one has the empty package path, each other an import path. Here a repository
 * has a name; an import path means the repository named by its last element (`golang.org/x/net` is `net`).
 */
import { CroftError } from '@croft/runtime/errors';
import type { RepoName } from '@croft/domain/names';

export interface Package {
  readonly Kind: '' | 'subrepo';
  readonly Name: RepoName;
  /** Empty for the main repository. */
  readonly Path: string;
}

export interface Packages {
  readonly main: RepoName | undefined;
  readonly list: readonly Package[];
  /** @throws CroftError `not-found` when no repository is meant */
  repoOf(path: string): RepoName;
  pathOf(repo: RepoName): string;
}

/** The main one is the toolchain of others, else the one called `go`, else the first. */
export function createPackages(repos: readonly RepoName[], toolchain?: RepoName): Packages {
  const main = repos.find((repo) => repo === toolchain) ?? repos.find((repo) => repo === 'go') ?? repos[0];
  const pathOf = (repo: RepoName): string => (repo === main ? '' : repo);
  return {
    main,
    list: repos.map((repo) => ({ Kind: repo === main ? '' : 'subrepo', Name: repo, Path: pathOf(repo) })),
    repoOf(path) {
      const name = path === '' ? main : path.slice(path.lastIndexOf('/') + 1);
      const repo = repos.find((candidate) => candidate === path) ?? repos.find((candidate) => candidate === name);
      if (repo) return repo;
      const there = `there are: ${repos.join(', ') || 'none'}`;
      throw new CroftError('not-found', `no repository is called ${JSON.stringify(path.slice(0, 120))}; ${there}`);
    },
    pathOf,
  };
}

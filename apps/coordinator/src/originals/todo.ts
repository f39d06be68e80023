/**
 * What a builder elsewhere should build next (coordinator.md D17-4): the newest commit of the newest page that it has not told of,
 * so that the simplest of workers can ask, build and report without a coordinator of their own.
 */
import type { BuilderName, RepoName, Revision } from '@croft/domain/names';
import type { Dashboard } from './dashboard.ts';

export interface TodoQuery {
  /** The first that has something to do counts. */
  readonly kinds: readonly string[];
  readonly builder: BuilderName;
  readonly repo: RepoName;
  /** The main repository's, for `build-package`. */
  readonly goRevision: Revision | undefined;
}

export interface Todo {
  readonly kind: 'build-go-commit' | 'build-package';
  readonly repo: RepoName;
  readonly revision: Revision;
}

/** Undefined when there is nothing; benchmarks are never asked for. @throws CroftError `not-found` */
export async function findTodo(dashboard: Pick<Dashboard, 'results' | 'packages'>, query: TodoQuery): Promise<Todo | undefined> {
  for (const kind of query.kinds) {
    if (kind !== 'build-go-commit' && kind !== 'build-package') continue;
    const main = kind === 'build-go-commit';
    const repo = main ? dashboard.packages.repoOf('') : query.repo;
    const goRevision = main ? undefined : query.goRevision;
    const { builders, rows } = await dashboard.results({ repo, page: 0 });
    const column = builders.indexOf(query.builder);
    const told = new Set(rows.filter((row) => row.goRevision === goRevision && row.results[column]).map(({ revision }) => revision));
    const next = rows.find(({ revision }) => !told.has(revision));
    if (next) return { kind, repo, revision: next.revision };
  }
  return undefined;
}

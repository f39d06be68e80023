/**
 * The exact tree of a revision as archive entries: what `git ls-tree -r` lists, with the bytes of the object database. No
 * attribute, filter or line-end setting has a say; submodules and LFS objects take part where asked for.
 */
import { parseRevision, type Revision } from '@croft/domain/names';
import type { Waits } from '@croft/runtime/clock';
import { CroftError, isCode } from '@croft/runtime/errors';
import { quoteName } from '@croft/streams/quote-name';
import type { TarEntry } from '@croft/streams/tar-pack';
import type { GitObject } from './batch-process.ts';
import type { Place } from './fetch.ts';
import type { SourceOptions, TreeEntry } from './git.ts';
import { createLfsStore, lfsPaths, parsePointer, type LfsStore } from './lfs.ts';
import type { ObjectPool } from './object-pool.ts';
import type { RepositoryUrl } from './repository-url.ts';
import { readSubmodules, submoduleSources, type Submodule } from './submodules.ts';
import { readTree, type CommitHead } from './tree.ts';

export interface Repository extends Place {
  readonly objects: ObjectPool;
  /** Fetches what is not here yet. @throws CroftError `not-found` when the source does not have it either */
  commit(revision: Revision, waits: Waits): Promise<CommitHead>;
  /** The mirror of a submodule; the repository owns it. */
  submodule(url: RepositoryUrl): Promise<Repository>;
}

export interface SourceRequest {
  readonly revision: Revision;
  readonly options: SourceOptions;
  /** Where in the archive the tree begins: empty, or a path with a slash at its end. */
  readonly prefix: Buffer;
  readonly depth: number;
}

const maxDepth = 10;

export async function* sourceEntries(repository: Repository, request: SourceRequest, waits: Waits): AsyncGenerator<TarEntry, void> {
  const { revision, options, prefix } = request;
  const { tree, committedAtS } = await repository.commit(revision, waits);
  const entries = await readTree(repository.objects, tree, waits);
  const lfs = options.lfs ? await lfsFiles(repository, { revision, tree, entries }, waits) : undefined;
  const blobs = entries.filter(({ type }) => type === 'blob');
  let next = 0;
  for await (const object of repository.objects.stream(
    blobs.map(({ id }) => id),
    waits,
  )) {
    const blob = blobs[next] as TreeEntry;
    next += 1;
    yield await blobEntry({ ...blob, path: Buffer.concat([prefix, blob.path]) }, { object, mtime: committedAtS, lfs: lfs?.of(blob) });
  }
  const links = entries.filter(({ type }) => type === 'commit');
  for (const { path } of links) yield { kind: 'directory', path: Buffer.concat([prefix, path]) };
  if (options.submodules && links.length > 0) yield* submoduleEntries(repository, { ...request, links, entries }, waits);
}

interface LfsFiles {
  /** The store, for a file that the attributes hand to LFS. */
  of(blob: TreeEntry): LfsStore | undefined;
}

async function lfsFiles(
  repository: Repository,
  at: { revision: Revision; tree: string; entries: readonly TreeEntry[] },
  waits: Waits,
): Promise<LfsFiles> {
  const paths = await lfsPaths(repository, at, waits);
  const store = createLfsStore(repository, at.revision, waits);
  return { of: ({ path }) => (paths.has(path.toString('latin1')) ? store : undefined) };
}

interface Blob {
  readonly object: GitObject;
  readonly mtime: number;
  readonly lfs: LfsStore | undefined;
}

async function blobEntry({ mode, path }: TreeEntry, { object: { type, size, content }, mtime, lfs }: Blob): Promise<TarEntry> {
  const name = quoteName(path.toString('latin1'));
  if (type !== 'blob') throw new CroftError('invalid', `${name} is a git ${type}, not a file`);
  if (mode === '120000') {
    if (!Buffer.isBuffer(content)) throw new CroftError('invalid', `link ${name} has a target of ${size} bytes`);
    return { kind: 'link', path, target: content };
  }
  const file = { kind: 'file', path, mode: mode === '100755' ? 0o755 : 0o644, mtime } as const;
  const pointer = lfs && Buffer.isBuffer(content) ? parsePointer(content) : undefined;
  if (lfs && pointer) return { ...file, size: pointer.size, content: await lfs.open(path, pointer) };
  return { ...file, size, content };
}

type SubmodulesRequest = SourceRequest & { readonly links: readonly TreeEntry[]; readonly entries: readonly TreeEntry[] };

async function* submoduleEntries(repository: Repository, request: SubmodulesRequest, waits: Waits): AsyncGenerator<TarEntry, void> {
  const { prefix, depth, links, entries } = request;
  if (depth >= maxDepth) throw new CroftError('exhausted', `submodules of ${repository.url.shown} are nested more than ${maxDepth} deep`);
  const modules = await readSubmodules(repository, entries, waits);
  for (const { path, id } of links) {
    const found = modules.get(path.toString('latin1'));
    if (!found) {
      const name = quoteName(path.toString('latin1'));
      throw new CroftError('invalid', `submodule ${name} has no address in .gitmodules`, {
        hint: 'Add it there, or build without submodules.',
      });
    }
    const revision = parseRevision(id);
    const inner = await openSubmodule(repository, { path, revision, ...found }, waits);
    yield* sourceEntries(inner, { ...request, revision, prefix: Buffer.concat([prefix, path, Buffer.from('/')]), depth: depth + 1 }, waits);
  }
}

/** The first of the possible sources that has the commit. */
async function openSubmodule(
  repository: Repository,
  wanted: Submodule & { path: Buffer; revision: Revision },
  waits: Waits,
): Promise<Repository> {
  const failures: CroftError[] = [];
  for (const url of await submoduleSources(repository, wanted.path, wanted, waits)) {
    try {
      const inner = await repository.submodule(url);
      await inner.commit(wanted.revision, waits);
      return inner;
    } catch (error) {
      if (!isCode(error, 'not-found') && !isCode(error, 'unavailable') && !isCode(error, 'unauthenticated')) throw error;
      failures.push(error);
    }
  }
  const last = failures.at(-1);
  throw new CroftError(
    last?.code ?? 'not-found',
    `submodule ${quoteName(wanted.path.toString('latin1'))}: ${last?.message ?? 'has no source'}`,
    {
      cause: last,
      hint: last?.hint,
    },
  );
}

/**
 * The door to git: a bare mirror of one repository in our data directory. We are its only writer; fetches take turns, everything
 * else may run beside them. Force pushes, deleted branches, shallow sources and foreign owners are followed; when the source
 * vanishes, what was fetched stays.
 */
import type { Revision } from '@croft/domain/names';
import type { Clock, Waits } from '@croft/runtime/clock';
import { openBareMirror } from './bare-mirror.ts';
import { openGit } from './git-command.ts';
import { parseRepositoryUrl } from './repository-url.ts';

export interface Commit {
  readonly revision: Revision;
  readonly parents: readonly Revision[];
  readonly authorName: string;
  readonly authorEmail: string;
  /** Epoch ms. */
  readonly committedAt: number;
  readonly subject: string;
  readonly body: string;
}

export interface Branch {
  readonly name: string;
  readonly revision: Revision;
}

export interface CommitLine {
  /** Newest first. */
  readonly commits: readonly Commit[];
  /** How many commits the whole line has: the number of the newest one. */
  readonly position: number;
}

export interface TreeEntry {
  readonly mode: '100644' | '100755' | '120000' | '160000';
  readonly type: 'blob' | 'commit';
  readonly id: string;
  /** Bytes as git has them, without a leading slash. */
  readonly path: Buffer;
}

export interface Fetched {
  readonly changed: boolean;
  /** Lines of commits may have become longer at their old end: the source is shallow, and less so than before. */
  readonly deepened?: boolean;
}

export interface SourceOptions {
  /** Submodules are part of the tree, at the commits that it records; else an empty directory stands where each would be. */
  readonly submodules: boolean;
  /** Pointers of git LFS are replaced by their objects. */
  readonly lfs: boolean;
  /** A `.git` comes with the tree, with so many commits of history; without, none does. */
  readonly history?: number | 'full' | undefined;
}

/**
 * A revision that is not here is asked of the source first. Every call throws CroftError: `not-found` for a branch or revision
 * that does not exist or a source that is gone, `unauthenticated` when the source refuses us, `unavailable` when it cannot be
 * reached, `timeout`. No message holds a credential.
 */
export interface Mirror extends AsyncDisposable {
  /** The source is there from now on; what was fetched stays. @throws CroftError `invalid` for an address that git must not be given */
  moveTo(url: string): void;
  /**
   * Takes over branches and HEAD of the source as they are now. What was fetched before stays, also after a failure. `first` are
   * branches that are known to have moved: when they are there, and known, nothing else is asked for.
   */
  fetch(waits: Waits & { readonly first?: readonly string[] }): Promise<Fetched>;
  /** By name, as of the last fetch. A source whose HEAD is on no branch (a CI's checkout) has one more, called `HEAD`. */
  branches(waits: Waits): Promise<Branch[]>;
  /** The branch that the source's HEAD is on, or `HEAD` when it is on none; undefined when there is no commit yet. */
  defaultBranch(waits: Waits): Promise<string | undefined>;
  /** Newest first along the first parents. `position` is how many commits that line has: the number of the newest one. */
  commits(range: { from: string; limit: number }, waits: Waits): Promise<CommitLine>;
  /** The same of many tips at once, by tip. */
  lines(range: { tips: readonly Revision[]; limit: number }, waits: Waits): Promise<Map<Revision, CommitLine>>;
  /** What each changes against its first parent; commits that change too much to be listed are left out. */
  changedPaths(commits: readonly Pick<Commit, 'revision' | 'parents'>[], waits: Waits): Promise<Map<Revision, readonly string[]>>;
  /** What `git ls-tree -r --full-tree` lists, in its order. */
  tree(revision: Revision, waits: Waits): Promise<TreeEntry[]>;
  /** Undefined when there is no such file; links are not followed. @throws CroftError `exhausted` when it is larger than `maxBytes` */
  readFile(revision: Revision, path: string | Buffer, waits: Waits, maxBytes: number): Promise<Buffer | undefined>;
  /** A tar.gz that unpacks to exactly the tree. It is read as it is made, in constant memory; a failure shows while reading. */
  sourceTar(revision: Revision, waits: Waits, options: SourceOptions & { readonly gzipLevel?: number }): AsyncIterable<Buffer>;
}

export interface MirrorOptions {
  /** Of the mirror; made when it is missing. */
  readonly dir: string;
  /** A path or an address, perhaps with credentials. */
  readonly url: string;
  readonly clock: Clock;
  /** A directory of ours for git's settings; may be shared by mirrors. */
  readonly gitHome: string;
  /** Where `git` and `ssh` are found; a usual one when absent. */
  readonly path?: string | undefined;
}

/** Does not touch the source. @throws CroftError `invalid` for an address that git must not be given */
export function openMirror({ dir, url, ...options }: MirrorOptions): Promise<Mirror> {
  return openBareMirror({ dir, url: parseRepositoryUrl(url), git: openGit(options) }, options.clock);
}

/** A mirror on disk: its refs in memory, its turns for writing, the mirrors of its submodules. The contract is in `git.ts`. */
import fs from 'node:fs';
import { join } from 'node:path';
import type { Revision } from '@croft/domain/names';
import { anySignal, MINUTE, type Clock, type Waits } from '@croft/runtime/clock';
import { sha256Hex } from '@croft/runtime/digest';
import { CroftError, isCode } from '@croft/runtime/errors';
import { packTarGz, type TarEntry } from '@croft/streams/tar-pack';
import { changedPaths, type ChangedCommit } from './changed-paths.ts';
import { CommitLines } from './commits.ts';
import { fetchBranches, fetchRefs, fetchRevision, initialise, readRefs, shallowBoundary, type Place, type Refs } from './fetch.ts';
import type { Branch, CommitLine, Fetched, Mirror, SourceOptions, TreeEntry } from './git.ts';
import { draftsDir, gitDirectoryEntries } from './git-directory.ts';
import { ObjectPool } from './object-pool.ts';
import { parseRepositoryUrl, type RepositoryUrl } from './repository-url.ts';
import { sourceEntries, type Repository } from './source-entries.ts';
import { forgetWriter, noteWriter, recoverMirror } from './stale-writer.ts';
import { findBlob, readCommit, readTree, type CommitHead } from './tree.ts';
import { createTurns } from './turns.ts';

/** Fetches that brought something between two tidyings. */
const tidyEvery = 25;
const tidyMs = 30 * MINUTE;
const maxCommits = 10_000;

export async function openBareMirror(place: Place, clock: Clock): Promise<BareMirror> {
  fs.mkdirSync(place.dir, { recursive: true, mode: 0o700 });
  await recoverMirror(place.dir, clock, {});
  fs.rmSync(join(place.dir, draftsDir), { recursive: true, force: true });
  if (!fs.existsSync(join(place.dir, 'HEAD'))) await initialise(place, 'sha1', {});
  return new BareMirror(place, clock, await readRefs(place, {}));
}

export class BareMirror implements Mirror, Repository {
  readonly git: Place['git'];
  readonly dir: string;
  url: RepositoryUrl;
  readonly objects: ObjectPool;
  readonly #clock: Clock;
  readonly #lines: CommitLines;
  readonly #writing = createTurns(1);
  readonly #submodules = new Map<string, Promise<BareMirror>>();
  readonly #disposed = new AbortController();
  #refs: Refs;
  #untidy = 0;
  /** A write failed or was killed: what it left must go before the next. */
  #recover = false;

  constructor({ git, dir, url }: Place, clock: Clock, refs: Refs) {
    this.git = git;
    this.dir = dir;
    this.url = url;
    this.objects = new ObjectPool(git, dir, clock);
    this.#clock = clock;
    this.#lines = new CommitLines(git, dir);
    this.#refs = refs;
  }

  moveTo(url: string): void {
    this.url = parseRepositoryUrl(url);
  }

  fetch({ first = [], ...waits }: Waits & { readonly first?: readonly string[] }): Promise<Fetched> {
    return this.#write(waits, async (turn) => {
      const before = this.#refs;
      const boundary = shallowBoundary(this.dir);
      if (this.#untidy >= tidyEvery) await this.#tidy(turn);
      this.#refs = (await fetchBranches(this, { before, names: first }, turn)) ?? (await fetchRefs(this, before, turn));
      const deepened = boundary !== undefined && shallowBoundary(this.dir) !== boundary;
      if (this.#refs === before && !deepened) return { changed: false };
      this.#untidy += 1;
      if (!deepened) return { changed: true };
      this.#lines.forget();
      return { changed: true, deepened };
    });
  }

  async branches(_waits: Waits): Promise<Branch[]> {
    const { heads, detached } = this.#refs;
    const all = [...heads, ...(detached ? [['HEAD', detached] as const] : [])];
    return all.map(([name, revision]) => ({ name, revision }));
  }

  async defaultBranch(_waits: Waits): Promise<string | undefined> {
    const { heads, head } = this.#refs;
    return head ?? [...heads.keys()][0];
  }

  async commits({ from, limit }: { from: string; limit: number }, waits: Waits): Promise<CommitLine> {
    const tip = this.#revisionOf(from);
    return (await this.lines({ tips: [tip], limit }, waits)).get(tip) ?? { commits: [], position: 0 };
  }

  async lines({ tips, limit }: { tips: readonly Revision[]; limit: number }, waits: Waits): Promise<Map<Revision, CommitLine>> {
    const { heads, detached } = this.#refs;
    const here = new Set([...heads.values(), detached]);
    for (const tip of tips) if (!here.has(tip)) await this.commit(tip, waits);
    return this.#lines.readAll([...new Set(tips)], Math.min(Math.max(1, limit), maxCommits), waits);
  }

  changedPaths(commits: readonly ChangedCommit[], waits: Waits): Promise<Map<Revision, readonly string[]>> {
    return changedPaths(this, commits, waits);
  }

  async tree(revision: Revision, waits: Waits): Promise<TreeEntry[]> {
    const { tree } = await this.commit(revision, waits);
    return readTree(this.objects, tree, waits);
  }

  async readFile(revision: Revision, path: string | Buffer, waits: Waits, maxBytes: number): Promise<Buffer | undefined> {
    const { tree } = await this.commit(revision, waits);
    const id = await findBlob(this.objects, tree, { path: Buffer.from(path as string), waits });
    return id === undefined ? undefined : (await this.objects.read(id, waits, maxBytes))?.content;
  }

  sourceTar(
    revision: Revision,
    waits: Waits,
    { gzipLevel, ...options }: SourceOptions & { readonly gzipLevel?: number },
  ): AsyncIterable<Buffer> {
    const tree = sourceEntries(this, { revision, options, prefix: Buffer.alloc(0), depth: 0 }, waits);
    const entries = options.history === undefined ? tree : this.#withHistory(tree, revision, { ...waits, depth: options.history });
    return packTarGz(entries, { level: gzipLevel });
  }

  async *#withHistory(
    tree: AsyncIterable<TarEntry>,
    revision: Revision,
    waits: Waits & { depth: number | 'full' },
  ): AsyncGenerator<TarEntry> {
    await this.commit(revision, waits);
    yield* gitDirectoryEntries(this, revision, waits);
    yield* tree;
  }

  async commit(revision: Revision, waits: Waits): Promise<CommitHead> {
    const here = await readCommit(this.objects, revision, waits);
    if (here) return here;
    await this.fetch(waits);
    const fetched = await readCommit(this.objects, revision, waits);
    if (fetched) return fetched;
    const refused = await this.#write(waits, (turn) => fetchRevision(this, revision, turn)).catch((error: unknown) => error);
    const found = await readCommit(this.objects, revision, waits);
    if (found) return found;
    if (refused && isCode(refused, 'timeout')) throw refused;
    throw new CroftError('not-found', `${this.url.shown} has no commit ${revision}`, {
      cause: refused,
      hint: 'It may have been pushed over before it was fetched, or the source is shallow.',
    });
  }

  async submodule(url: RepositoryUrl): Promise<BareMirror> {
    const dir = join(this.dir, 'croft-modules', sha256Hex(url.text).slice(0, 24));
    const opened = this.#submodules.get(dir) ?? openBareMirror({ git: this.git, dir, url }, this.#clock);
    this.#submodules.set(dir, opened);
    return opened;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#disposed.abort(new CroftError('stopped', `closing the mirror of ${this.url.shown}`));
    const giveBack = await this.#writing.take({});
    try {
      await using stack = new AsyncDisposableStack();
      for (const opened of this.#submodules.values()) stack.use(await opened.catch(() => undefined));
      stack.use(this.objects);
    } finally {
      giveBack();
    }
  }

  #revisionOf(from: string): Revision {
    const { heads, detached } = this.#refs;
    const found = heads.get(from) ?? (from === 'HEAD' ? detached : undefined);
    if (found) return found;
    if (/^(?:[0-9a-f]{40}|[0-9a-f]{64})$/.test(from)) return from as Revision;
    const names = [...heads.keys()].slice(0, 10).join(', ');
    throw new CroftError('not-found', `${this.url.shown} has no branch ${JSON.stringify(from)}`, {
      hint: names ? `It has ${names}.` : 'It has none.',
    });
  }

  async #write<T>(waits: Waits, act: (turn: Waits) => Promise<T>): Promise<T> {
    const turn = { signal: anySignal(waits.signal, this.#disposed.signal) };
    const giveBack = await this.#writing.take(turn);
    try {
      if (this.#recover) await recoverMirror(this.dir, this.#clock, turn);
      this.#recover = true;
      const result = await act(turn);
      this.#recover = false;
      return result;
    } finally {
      giveBack();
    }
  }

  /** Packs what many fetches brought. The count starts anew whatever happens, so that a failure does not stop the next fetch. */
  async #tidy(waits: Waits): Promise<void> {
    this.#untidy = 0;
    const args = [`--git-dir=${this.dir}`, 'gc', '--auto', '--quiet'];
    await this.git.run({ args, limitMs: tidyMs, onStart: (pid) => noteWriter(this.dir, pid), ...waits });
    forgetWriter(this.dir);
  }
}

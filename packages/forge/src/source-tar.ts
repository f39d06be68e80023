/**
 * The exact tree of a revision as a tar.gz: every blob of `git ls-tree -r` with its bytes, mode and link target, straight from the
 * object database, so that no attribute, filter or line-end setting has a say. Submodules and LFS objects where asked for.
 */
import { createReadStream } from 'node:fs';
import { stat } from 'node:fs/promises';
import { join } from 'node:path';
import { parseRevision, type Revision } from '@croft/domain/names';
import { sha256Hex } from '@croft/runtime/digest';
import type { Clock, Waits } from '@croft/runtime/clock';
import { CroftError } from '@croft/runtime/errors';
import { packTarGz, type TarEntry } from '@croft/streams/tar-pack';
import type { GitObject } from './cat-file.ts';
import type { GitProgram } from './git-program.ts';
import { openMirror, type Mirror, type TreeEntry } from './mirror.ts';
import { openObjects, type Objects } from './objects.ts';
import { isLocal, submoduleUrl } from './repo-url.ts';

export interface SourceOptions {
  /** Submodules are part of the tree, at the commits that it records. */
  readonly submodules: boolean;
  /** Pointers of git LFS are replaced by their objects. */
  readonly lfs: boolean;
}

export interface Source {
  readonly mirror: Mirror;
  readonly git: GitProgram;
  readonly objects: Objects;
  readonly dir: string;
  readonly url: string;
  readonly clock: Clock;
  readonly gitHome: string;
  readonly path: string;
}

const smallBytes = 1024 * 1024;
const maxDepth = 8;

export function sourceTar(source: Source, revision: Revision, waits: Waits, options: SourceOptions): AsyncIterable<Buffer> {
  return packTarGz(treeEntries({ source, prefix: Buffer.alloc(0), depth: 0, options }, revision, waits), { level: 1 });
}

interface Place {
  readonly source: Source;
  readonly prefix: Buffer;
  readonly depth: number;
  readonly options: SourceOptions;
}

async function* treeEntries(place: Place, revision: Revision, waits: Waits): AsyncGenerator<TarEntry> {
  const { source, prefix, options } = place;
  const entries = await source.mirror.tree(revision, waits);
  const blobs = entries.filter((entry) => entry.type === 'blob');
  let at = 0;
  for await (const object of source.objects.read(blobs.map((blob) => blob.id))) {
    waits.signal?.throwIfAborted();
    const blob = blobs[at] as TreeEntry;
    at += 1;
    if (!object) throw new CroftError('unavailable', `the object ${blob.id} of ${blob.path.toString()} is missing from the repository`);
    yield await toTarEntry(place, blob, object, waits);
  }
  const links = entries.filter((entry) => entry.type === 'commit');
  if (options.submodules && links.length > 0) yield* submoduleEntries(place, revision, links, waits);
  // As in a checkout without submodules, an empty directory stands where each would be.
  else for (const link of links) yield { kind: 'directory', path: Buffer.concat([prefix, link.path]) };
}

async function toTarEntry({ source, prefix, options }: Place, blob: TreeEntry, object: GitObject, waits: Waits): Promise<TarEntry> {
  const path = Buffer.concat([prefix, blob.path]);
  if (blob.mode === '120000') return { kind: 'link', path, target: await whole(object) };
  const file = { kind: 'file', path, mode: blob.mode === '100755' ? 0o755 : 0o644, mtime: 0 } as const;
  if (object.size > smallBytes) return { ...file, size: object.size, content: object.content };
  const content = await whole(object);
  const pointer = options.lfs ? lfsPointer(content) : undefined;
  return pointer ? { ...file, ...(await lfsObject(source, pointer, waits)) } : { ...file, size: content.length, content };
}

async function whole({ content }: GitObject): Promise<Buffer> {
  const pieces = await Array.fromAsync(content);
  return pieces.length === 1 && pieces[0] ? pieces[0] : Buffer.concat(pieces);
}

/** The id and size of an LFS pointer file (git-lfs spec, version 1). */
function lfsPointer(content: Buffer): { id: string; size: number } | undefined {
  if (content.length > 1024 || !content.toString('latin1', 0, 42).startsWith('version https://git-lfs.github.com/spec/v1')) return undefined;
  const text = content.toString('utf8');
  const id = /^oid sha256:([0-9a-f]{64})$/m.exec(text)?.[1];
  const size = /^size (\d+)$/m.exec(text)?.[1];
  return id !== undefined && size !== undefined ? { id, size: Number(size) } : undefined;
}

/** From the mirror's own store or, for a local source, from the source's; `git lfs` fetches it where it is installed. */
async function lfsObject(source: Source, { id, size }: { id: string; size: number }, waits: Waits): Promise<{ size: number; content: AsyncIterable<Buffer> }> {
  const tail = join('lfs', 'objects', id.slice(0, 2), id.slice(2, 4), id);
  const local = isLocal(source.url) ? source.url.replace(/^file:\/\//, '') : undefined;
  const places = [join(source.dir, tail), ...(local === undefined ? [] : [join(local, '.git', tail), join(local, tail)])];
  const found = await firstOfSize(places, size);
  if (found !== undefined) return { size, content: createReadStream(found) };
  const hint = 'Install git-lfs on the coordinator, or push the objects to a source that it can read.';
  await source.git.run(['lfs', 'fetch', source.url, `--include=${id}`], { dir: source.dir, ...waits }).catch((error: unknown) => {
    throw new CroftError('unavailable', `the LFS object ${id} cannot be fetched`, { cause: error, hint });
  });
  const fetched = await firstOfSize(places, size);
  if (fetched === undefined) throw new CroftError('unavailable', `the LFS object ${id} is not to be had`, { hint });
  return { size, content: createReadStream(fetched) };
}

async function firstOfSize(paths: readonly string[], size: number): Promise<string | undefined> {
  for (const path of paths) {
    const found = await stat(path).catch(() => undefined);
    if (found?.isFile() && found.size === size) return path;
  }
  return undefined;
}

async function* submoduleEntries(place: Place, revision: Revision, links: readonly TreeEntry[], waits: Waits): AsyncGenerator<TarEntry> {
  const { source, prefix, depth, options } = place;
  if (depth >= maxDepth) throw new CroftError('exhausted', `submodules are nested more than ${maxDepth} deep`);
  const urls = await submoduleUrls(source, revision, waits);
  for (const link of links) {
    const path = link.path.toString();
    const url = urls.get(path);
    if (url === undefined) throw new CroftError('invalid', `submodule ${path} has no address in .gitmodules`);
    const { clock, gitHome, path: programs, dir } = source;
    const resolved = submoduleUrl(source.url, url);
    const subDir = join(dir, 'croft-submodules', `${sha256Hex(resolved).slice(0, 24)}.git`);
    await using mirror = await openMirror({ dir: subDir, url: resolved, clock, gitHome, path: programs });
    const commit = parseRevision(link.id);
    const known = await mirror.tree(commit, waits).then(
      () => true,
      () => false,
    );
    if (!known) await mirror.fetch(waits);
    await using inner = openSource(mirror, { ...source, dir: subDir, url: resolved });
    const inside = Buffer.concat([prefix, link.path, Buffer.from('/')]);
    yield* treeEntries({ source: inner, prefix: inside, depth: depth + 1, options }, commit, waits);
  }
}

function openSource(mirror: Mirror, outer: Source): Source & AsyncDisposable {
  const objects = openObjects(outer.dir, outer.git.env, outer.clock);
  return { ...outer, mirror, objects, [Symbol.asyncDispose]: () => objects[Symbol.asyncDispose]() };
}

async function submoduleUrls({ git, dir }: Source, revision: Revision, waits: Waits): Promise<Map<string, string>> {
  const args = ['config', '--blob', `${revision}:.gitmodules`, '-z', '--get-regexp', String.raw`^submodule\..*\.(path|url)$`];
  const output = await git.run(args, { dir, ...waits }).catch((error: unknown) => {
    throw new CroftError('invalid', 'the tree has submodules but no readable .gitmodules', { cause: error });
  });
  const paths = new Map<string, string>();
  const urls = new Map<string, string>();
  for (const record of output.toString('utf8').split('\0')) {
    const newline = record.indexOf('\n');
    const key = record.slice(0, newline);
    const name = key.slice('submodule.'.length, key.lastIndexOf('.'));
    (key.endsWith('.path') ? paths : urls).set(name, record.slice(newline + 1));
  }
  return new Map([...paths].flatMap(([name, path]) => (urls.has(name) ? [[path, urls.get(name) ?? ''] as const] : [])));
}

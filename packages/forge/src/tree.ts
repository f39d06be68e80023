/** Commits and trees from their objects: what `git ls-tree -r -z --full-tree` lists, without a process for it. */
import { parseRevision, type Revision } from '@croft/domain/names';
import type { Waits } from '@croft/runtime/clock';
import { CroftError } from '@croft/runtime/errors';
import { quoteName } from '@croft/streams/quote-name';
import type { TreeEntry } from './git.ts';
import type { ObjectPool } from './object-pool.ts';

export interface CommitHead {
  readonly tree: Revision;
  /** Seconds since 1970. */
  readonly committedAtS: number;
}

type RawEntry = { readonly mode: string; readonly name: string; readonly id: string };

const maxObjectBytes = 64 * 1024 * 1024;
const maxEntries = 1_000_000;
/** Of all paths together. */
const maxPathBytes = 256 * 1024 * 1024;
const maxDepth = 1_000;
/** The end of the year 9999: what is later no calendar holds. */
const latestS = 253_402_300_799;

/** Undefined when there is no such commit here. @throws CroftError `invalid` when the object is no commit */
export async function readCommit(objects: ObjectPool, revision: Revision, waits: Waits): Promise<CommitHead | undefined> {
  const found = await objects.read(revision, waits, maxObjectBytes);
  if (!found) return undefined;
  const head = found.content.toString('latin1');
  const [, tree] = /^tree ([0-9a-f]+)$/m.exec(head) ?? [];
  const [, seconds] = /^committer .*> (\d+) [+-]\d+$/m.exec(head) ?? [];
  if (found.type !== 'commit' || !tree) throw new CroftError('invalid', `${revision} is a ${found.type}, not a commit`);
  return { tree: parseRevision(tree), committedAtS: plausibleSeconds(seconds ?? '') };
}

/** A commit may claim any date: one that is no number is 1970, one beyond the calendar the end of it. */
export function plausibleSeconds(text: string): number {
  return Math.min(Math.max(0, Number(text) || 0), latestS);
}

/** Every file, link and submodule below a tree, in git's order. */
export async function readTree(objects: ObjectPool, tree: string, waits: Waits): Promise<TreeEntry[]> {
  const trees = await readTrees(objects, tree, waits);
  checkExtent(trees, tree);
  const entries: TreeEntry[] = [];
  const list = (id: string, prefix: string): void => {
    for (const { mode, name, id: child } of trees.get(id) ?? []) {
      const path = `${prefix}${name}`;
      if (isTree(mode)) list(child, `${path}/`);
      else entries.push(entryOf(mode, child, path));
    }
  };
  list(tree, '');
  return entries;
}

/** The blob at a path; undefined when there is none. Links are not followed. */
export async function findBlob(
  objects: ObjectPool,
  tree: string,
  { path, waits }: { path: Buffer; waits: Waits },
): Promise<string | undefined> {
  let at = tree;
  const names = path.toString('latin1').split('/');
  for (const [depth, name] of names.entries()) {
    const found = await objects.read(at, waits, maxObjectBytes);
    const entry = found && parseTree(found.content, at).find((candidate) => candidate.name === name);
    if (!entry) return undefined;
    if (depth === names.length - 1) return isFile(entry.mode) ? entry.id : undefined;
    if (!isTree(entry.mode)) return undefined;
    at = entry.id;
  }
  return undefined;
}

/** All trees below one, by id: a level at a time, so that each level is one burst of requests. */
async function readTrees(objects: ObjectPool, root: string, waits: Waits): Promise<Map<string, RawEntry[]>> {
  const trees = new Map<string, RawEntry[]>();
  let level = [root];
  for (let depth = 0; level.length > 0; depth += 1) {
    if (depth > maxDepth) throw new CroftError('invalid', `the tree is deeper than ${maxDepth} directories`);
    const below = new Set<string>();
    for await (const { id, type, content } of objects.stream(level, waits)) {
      if (type !== 'tree') throw new CroftError('invalid', `git object ${id} is a ${type}, not a tree`);
      const bytes = Buffer.isBuffer(content) ? content : Buffer.concat(await Array.fromAsync(content));
      const entries = parseTree(bytes, id);
      trees.set(id, entries);
      for (const entry of entries) if (isTree(entry.mode)) below.add(entry.id);
      if (trees.size > maxEntries) throw new CroftError('invalid', `the tree has more than ${maxEntries} directories`);
    }
    level = [...below].filter((id) => !trees.has(id));
  }
  return trees;
}

/** Counted before it is unfolded: a tree may hold another many times over, at each level, and so a few of them stand for billions. */
function checkExtent(trees: ReadonlyMap<string, readonly RawEntry[]>, root: string): void {
  const known = new Map<string, { entries: number; pathBytes: number }>();
  const extentOf = (id: string): { entries: number; pathBytes: number } => {
    const before = known.get(id);
    if (before) return before;
    const extent = { entries: 0, pathBytes: 0 };
    for (const { mode, name, id: child } of trees.get(id) ?? []) {
      const below = isTree(mode) ? extentOf(child) : { entries: 0, pathBytes: 0 };
      extent.entries += 1 + below.entries;
      extent.pathBytes += name.length + below.pathBytes + below.entries * (name.length + 1);
    }
    known.set(id, extent);
    return extent;
  };
  const { entries, pathBytes } = extentOf(root);
  if (entries > maxEntries) throw new CroftError('invalid', `the tree has more than ${maxEntries} files and directories`);
  if (pathBytes > maxPathBytes) throw new CroftError('invalid', `the tree has more than ${maxPathBytes} bytes of names`);
}

/** `MODE SP NAME NUL ID`, again and again. Names that no file system should be given are refused, as git refuses to check them out. */
function parseTree(bytes: Buffer, tree: string): RawEntry[] {
  const entries: RawEntry[] = [];
  const idBytes = tree.length / 2;
  for (let at = 0; at < bytes.length;) {
    const space = bytes.indexOf(0x20, at);
    const nul = bytes.indexOf(0, space);
    const end = nul + 1 + idBytes;
    if (space < 0 || nul < 0 || end > bytes.length) throw new CroftError('invalid', `git tree ${tree} is damaged`);
    const name = bytes.toString('latin1', space + 1, nul);
    if (name === '' || name === '.' || name === '..' || name.includes('/') || /^\.git$/i.test(name)) {
      throw new CroftError('invalid', `git tree ${tree} has an entry called ${quoteName(name)}, which no checkout may have`);
    }
    entries.push({ mode: bytes.toString('latin1', at, space), name, id: bytes.toString('hex', nul + 1, end) });
    at = end;
  }
  return entries;
}

function entryOf(mode: string, id: string, path: string): TreeEntry {
  const bytes = Buffer.from(path, 'latin1');
  const kind = Number.parseInt(mode, 8) & 0o170000;
  if (kind === 0o160000) return { mode: '160000', type: 'commit', id, path: bytes };
  if (kind === 0o120000) return { mode: '120000', type: 'blob', id, path: bytes };
  if (kind === 0o100000) return { mode: Number.parseInt(mode, 8) & 0o100 ? '100755' : '100644', type: 'blob', id, path: bytes };
  throw new CroftError('invalid', `${quoteName(path)} has the mode ${mode}, which git does not know`);
}

function isTree(mode: string): boolean {
  return (Number.parseInt(mode, 8) & 0o170000) === 0o040000;
}

function isFile(mode: string): boolean {
  return (Number.parseInt(mode, 8) & 0o170000) === 0o100000;
}

/** Files in memory, under paths below a root, with what a list and an archive tell of them. */
import { CroftError } from '@croft/runtime/errors';

export type FakeNode =
  | { readonly kind: 'directory'; readonly mode: number; readonly mtimeAt: number }
  | { readonly kind: 'file'; readonly mode: number; readonly mtimeAt: number; readonly content: Buffer }
  | { readonly kind: 'link'; readonly target: string };

export interface FakeTree {
  /** Makes the directories above; what was there goes. @throws CroftError `conflict` where a directory is, or above it a file */
  put(path: string, node: Exclude<FakeNode, { kind: 'directory' }>): void;
  makeDirectory(path: string): void;
  find(path: string): FakeNode | undefined;
  /** Of a file. @throws CroftError `not-found` */
  read(path: string): Buffer;
  /** With everything below it; the root keeps itself. */
  remove(path: string): void;
  /** What lies below a directory: each directory before its contents, names in order of their bytes. */
  walk(directory: string): [path: string, node: FakeNode][];
}

const root = '';

export function createFakeTree(now: () => number): FakeTree {
  const nodes = new Map<string, FakeNode>();
  const makeDirectory = (path: string): void => {
    const name = clean(path);
    if (name === root) return;
    const there = nodes.get(name);
    if (there?.kind === 'directory') return;
    if (there) throw new CroftError('conflict', `mkdir ${name}: not a directory`);
    makeDirectory(parentOf(name));
    nodes.set(name, { kind: 'directory', mode: 0o755, mtimeAt: now() });
  };
  const find = (path: string): FakeNode | undefined => {
    const name = clean(path);
    return name === root ? { kind: 'directory', mode: 0o755, mtimeAt: 0 } : nodes.get(name);
  };
  const below = (path: string): [string, FakeNode][] => {
    const name = clean(path);
    return [...nodes].filter(([other]) => name === root || other.startsWith(`${name}/`));
  };
  return {
    put(path, node) {
      const name = clean(path);
      if (find(name)?.kind === 'directory') throw new CroftError('conflict', `open ${path}: is a directory`);
      makeDirectory(parentOf(name));
      nodes.set(name, node);
    },
    makeDirectory,
    find,
    read(path) {
      const node = find(path);
      if (node?.kind !== 'file') throw new CroftError('not-found', `open ${path}: no such file`);
      return node.content;
    },
    remove(path) {
      for (const [name] of below(path)) nodes.delete(name);
      nodes.delete(clean(path));
    },
    walk(directory) {
      const from = clean(directory);
      const found = below(from).map(([path, node]): [string, FakeNode] => [from === root ? path : path.slice(from.length + 1), node]);
      return found.toSorted(([a], [b]) => byParts(a, b));
    },
  };
}

/** `a/./b/../c/` as `a/c`. @throws CroftError `invalid` for what is not below the root */
export function clean(path: string): string {
  if (path.startsWith('/') || path.includes('\\')) throw new CroftError('invalid', `path ${JSON.stringify(path)} is not relative`);
  const parts: string[] = [];
  for (const part of path.split('/')) {
    if (part === '' || part === '.') continue;
    if (part !== '..') parts.push(part);
    else if (parts.pop() === undefined) throw new CroftError('invalid', `path ${JSON.stringify(path)} refers to a parent directory`);
  }
  return parts.join('/');
}

function parentOf(name: string): string {
  return name.slice(0, Math.max(0, name.lastIndexOf('/')));
}

function byParts(a: string, b: string): number {
  const [left, right] = [a.split('/'), b.split('/')];
  for (const [at, part] of left.entries()) {
    const other = right[at];
    if (other === undefined) return 1;
    if (part !== other) return Buffer.compare(Buffer.from(part), Buffer.from(other));
  }
  return left.length - right.length;
}

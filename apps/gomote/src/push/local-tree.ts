/** The entries of a directory that a push is about, in the order of their paths, each directory before its contents. */
import { existsSync, lstatSync, readdirSync, readlinkSync, type BigIntStats } from 'node:fs';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { selects } from '@croft/domain/pattern';
import type { Cli } from '@croft/cli/program';
import { openIgnored, type Ignored } from './ignored.ts';

/** `path` is below the root: bytes as latin1, with slashes. */
export type LocalEntry =
  | {
      readonly kind: 'file';
      readonly path: string;
      readonly mode: number;
      readonly sizeBytes: number;
      readonly stamp: string;
      readonly changedNs: bigint;
    }
  | { readonly kind: 'link'; readonly path: string; readonly target: string }
  | { readonly kind: 'directory'; readonly path: string; readonly isEmpty: boolean };

export interface Rules {
  /** Patterns of the person: what they match takes no part, here or there. */
  readonly ignore: readonly string[];
  readonly isGo: boolean;
}

export interface LocalTree extends AsyncDisposable {
  entries(): AsyncGenerator<LocalEntry>;
  /** Whether something that lies on the machine alone takes no part, and so stays. */
  keeps(path: string, isDirectory: boolean): Promise<boolean>;
}

export async function openLocalTree(root: string, rules: Rules, env: Cli['env']): Promise<LocalTree> {
  /** The innermost comes first; the last is that of the root, with `dir` empty. */
  const repositories: { readonly dir: string; readonly ignored: Ignored }[] = [];
  const within = async (dir: string): Promise<void> => {
    repositories.unshift({ dir, ignored: await openIgnored(placeOf(root, dir).toString(), env) });
  };
  const rulesOf = (path: string): { ignored: Ignored; inner: string } | undefined => {
    const found = repositories.find(({ dir }) => dir === '' || path.startsWith(`${dir}/`));
    return found && { ignored: found.ignored, inner: found.dir === '' ? path : path.slice(found.dir.length + 1) };
  };
  await within('');
  return {
    async *entries() {
      const ignored = (path: string): boolean => {
        const found = rulesOf(path);
        return found?.ignored.here(found.inner) === true;
      };
      yield* entriesOf('', { root, rules, within, ignored });
    },
    async keeps(path, isDirectory) {
      if (isApart(path, rules)) return true;
      const found = rulesOf(path);
      return found?.ignored.elsewhere(found.inner, isDirectory) ?? false;
    },
    async [Symbol.asyncDispose]() {
      for (const { ignored } of repositories) await ignored[Symbol.asyncDispose]();
    },
  };
}

interface Walk {
  readonly root: string;
  readonly rules: Rules;
  within(dir: string): Promise<void>;
  ignored(path: string): boolean;
}

/** Synchronous within a directory: for small files the hops through the event loop would cost more than the disk. */
async function* entriesOf(dir: string, walk: Walk): AsyncGenerator<LocalEntry> {
  const { root, rules, ignored, within } = walk;
  const names = readdirSync(placeOf(root, dir), { encoding: 'latin1', withFileTypes: true });
  if (dir !== '' && existsSync(placeOf(root, `${dir}/.git`))) await within(dir); // a repository in a repository has rules of its own
  await nextTurn();
  names.sort((a, b) => (a.name < b.name ? -1 : 1));
  for (const entry of names) {
    const path = dir === '' ? entry.name : `${dir}/${entry.name}`;
    if (isApart(path, rules) || ignored(path)) continue;
    if (entry.isSymbolicLink()) yield { kind: 'link', path, target: readlinkSync(placeOf(root, path), 'latin1') };
    else if (entry.isFile()) yield fileEntry(path, lstatSync(placeOf(root, path), { bigint: true }));
    else if (entry.isDirectory()) {
      let isEmpty = true;
      const inner = entriesOf(path, walk);
      const first = await inner.next();
      isEmpty = first.done === true;
      yield { kind: 'directory', path, isEmpty };
      if (!first.done) yield first.value;
      yield* inner;
    }
  }
}

function fileEntry(path: string, { dev, ino, mode, size, mtimeNs, ctimeNs }: BigIntStats): LocalEntry {
  const stamp = `${dev} ${ino} ${size} ${mtimeNs} ${ctimeNs}`;
  return { kind: 'file', path, mode: Number(mode) & 0o777, sizeBytes: Number(size), stamp, changedNs: ctimeNs };
}

/** Where an entry lies, in the bytes of its name. */
export function placeOf(root: string, path: string): Buffer {
  return Buffer.concat([Buffer.from(path === '' ? root : `${root}/`), Buffer.from(path, 'latin1')]);
}

/** Generated while Go is built, and so neither sent nor deleted (PUSH-8). */
const generated = new Set([
  'src/cmd/cgo/zdefaultcc.go',
  'src/cmd/go/internal/cfg/zdefaultcc.go',
  'src/cmd/go/internal/cfg/zosarch.go',
  'src/cmd/internal/objabi/zbootstrap.go',
  'src/go/build/zcgo.go',
  'src/internal/buildcfg/zbootstrap.go',
  'src/runtime/internal/sys/zversion.go',
  'VERSION.cache',
]);

/** Takes no part, wherever it lies: what belongs to git, to editors, to Go's build, and what the person said. */
export function isApart(path: string, { ignore, isGo }: Rules): boolean {
  const name = path.slice(path.lastIndexOf('/') + 1);
  if (name === '.git' || isEditorFile(name)) return true;
  if (isGo && (generated.has(path) || /^(pkg|bin)(\/|$)/.test(path))) return true;
  if (ignore.length === 0) return false;
  const text = Buffer.from(path, 'latin1').toString('utf8');
  return selects(ignore, text) || selects(ignore, Buffer.from(name, 'latin1').toString('utf8'));
}

function isEditorFile(name: string): boolean {
  return /^\..+\.swp$|[~#]$|^#|^\.#/.test(name);
}

/** The entries of a directory that a push is about, in the order of their paths, each directory before its contents. */
import { existsSync, lstatSync, readdirSync, readlinkSync, type Stats } from 'node:fs';
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
      /** Another one when it has changed. */
      readonly stamp: string;
      /** With parts of a millisecond. */
      readonly changedAt: number;
    }
  | { readonly kind: 'link'; readonly path: string; readonly target: string }
  | { readonly kind: 'directory'; readonly path: string; readonly isEmpty: boolean };

export interface Rules {
  /** Patterns of the person: what they match takes no part, here or there. */
  readonly ignore: readonly string[];
  readonly isGo: boolean;
}

export interface LocalTree extends AsyncDisposable {
  /** In batches, none of which is empty. */
  entries(): AsyncGenerator<readonly LocalEntry[]>;
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
async function* entriesOf(dir: string, walk: Walk): AsyncGenerator<readonly LocalEntry[]> {
  const { root, rules, ignored, within } = walk;
  const names = readdirSync(placeOf(root, dir), { encoding: 'latin1', withFileTypes: true });
  if (dir !== '' && existsSync(placeOf(root, `${dir}/.git`))) await within(dir); // a repository in a repository has rules of its own
  await nextTurn();
  names.sort((a, b) => (a.name < b.name ? -1 : 1));
  let batch: LocalEntry[] = [];
  for (const entry of names) {
    const path = dir === '' ? entry.name : `${dir}/${entry.name}`;
    if (isApart(path, rules) || ignored(path)) continue;
    if (entry.isSymbolicLink()) batch.push({ kind: 'link', path, target: readlinkSync(placeOf(root, path), 'latin1') });
    else if (entry.isFile()) batch.push(fileEntry(path, lstatSync(placeOf(root, path))));
    else if (entry.isDirectory()) {
      const inner = entriesOf(path, walk);
      const first = await inner.next();
      batch.push({ kind: 'directory', path, isEmpty: first.done === true });
      if (first.done) continue;
      yield batch;
      batch = [];
      yield first.value;
      yield* inner;
    }
  }
  if (batch.length > 0) yield batch;
}

/** Times are told to a quarter of a microsecond: twice as many bits would cost half of the walk. */
function fileEntry(path: string, { dev, ino, mode, size, mtimeMs, ctimeMs }: Stats): LocalEntry {
  return {
    kind: 'file',
    path,
    mode: mode & 0o777,
    sizeBytes: size,
    stamp: `${dev} ${ino} ${size} ${mtimeMs} ${ctimeMs}`,
    changedAt: ctimeMs,
  };
}

/** Where an entry lies, in the bytes of its name. */
export function placeOf(root: string, path: string): string | Buffer {
  if (!/[\x80-\xff]/.test(path)) return path === '' ? root : `${root}/${path}`;
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

/**
 * The directories of a tree that is being written, each looked up by its name in the one above, which is held open: whatever a running
 * command exchanges for a link meanwhile, no way leads out. Where a system has no such names, a directory is looked at before it is used.
 */
import { CroftError, systemCode } from '@croft/runtime/errors';
import fs from 'node:fs';
import { parentOf } from './tar-names.ts';

/** Paths are byte strings below the root, `''` is the root. */
export interface TreeDirectories {
  /** Makes it, and those above it. @throws CroftError `invalid` at a link; what the system says */
  make(path: string): void;
  /** What the system knows an entry by whose directory is there; until the next call. @throws as `make`, and what is not there is not made */
  at(path: string): Buffer;
  isDirectory(path: string): boolean;
  /** Puts the names that people know into a failure of the system. */
  name(error: unknown): void;
  close(): void;
}

/** Named so on all Linux that Node runs on, though not by Node: for looking up names only, which needs no permission to read. */
const O_PATH = 0o10_000_000;
const directoryFlags = O_PATH | (fs.constants.O_DIRECTORY ?? 0) | (fs.constants.O_NOFOLLOW ?? 0);
const heldName = /\/proc\/self\/fd\/(\d+)/g;
/** More are no tree that anybody made, and each of them is held open. */
const maxDepth = 256;

/** @param root as bytes. @param isReal holds no link: one that comes to stand in it meanwhile is not followed */
export function openDirectories(root: string, { isReal }: { isReal: boolean }): TreeDirectories {
  return process.platform === 'linux' ? new HeldDirectories(root, isReal) : new SeenDirectories(root);
}

class HeldDirectories implements TreeDirectories {
  readonly #name: string;
  readonly #root: number;
  /** The way to where the last entry was, from below the root. */
  readonly #way: { readonly path: string; readonly fd: number }[] = [];
  /** Were there: they are opened at once. */
  readonly #known = new Set<string>();

  constructor(root: string, isReal: boolean) {
    const path = Buffer.from(root, 'latin1');
    this.#name = root;
    this.#root = fs.openSync(path, O_PATH | fs.constants.O_DIRECTORY);
    if (!isReal || fs.readlinkSync(`/proc/self/fd/${this.#root}`, 'buffer').equals(path)) return;
    this.close();
    throw new CroftError('conflict', `${path.toString()} was exchanged while it was opened`);
  }

  make(path: string): void {
    this.#enter(path, true);
  }

  at(path: string): Buffer {
    const parent = parentOf(path);
    return addressOf(this.#enter(parent, false), path, parent);
  }

  isDirectory(path: string): boolean {
    try {
      this.#enter(path, false);
      return true;
    } catch {
      return false;
    }
  }

  name(error: unknown): void {
    if (!(error instanceof Error)) return;
    const told: Record<string, unknown> & Error = Object.assign(error);
    for (const key of ['message', 'path', 'dest']) {
      const text = told[key];
      if (typeof text === 'string') told[key] = text.replaceAll(heldName, (held, fd) => this.#nameOf(Number(fd)) ?? held);
    }
  }

  close(): void {
    for (const { fd } of this.#way.splice(0)) fs.closeSync(fd);
    fs.closeSync(this.#root);
  }

  #nameOf(fd: number): string | undefined {
    if (fd === this.#root) return Buffer.from(this.#name, 'latin1').toString();
    const held = this.#way.find((one) => one.fd === fd);
    return held && Buffer.from(`${this.#name}/${held.path}`, 'latin1').toString();
  }

  /** Back to the deepest directory on the way that is the path or above it. */
  #leave(path: string): void {
    for (let last = this.#way.at(-1); last && path !== last.path && !path.startsWith(`${last.path}/`); last = this.#way.at(-1)) {
      this.#way.pop();
      fs.closeSync(last.fd);
    }
  }

  #enter(path: string, makes: boolean): number {
    this.#leave(path);
    let above = this.#way.at(-1);
    while ((above?.path ?? '') !== path) {
      const parent: string = above?.path ?? '';
      const end = path.indexOf('/', parent === '' ? 0 : parent.length + 1);
      const next = end < 0 ? path : path.slice(0, end);
      if (this.#way.length === maxDepth) throw new CroftError('invalid', `more than ${maxDepth} directories lie in each other`);
      above = { path: next, fd: this.#open(addressOf(above?.fd ?? this.#root, next, parent), next, makes) };
      this.#way.push(above);
    }
    return above?.fd ?? this.#root;
  }

  #open(address: Buffer, path: string, makes: boolean): number {
    if (makes && !this.#known.has(path)) makeUnlessThere(address, path);
    try {
      const fd = fs.openSync(address, directoryFlags);
      this.#known.add(path);
      return fd;
    } catch (error) {
      if (fs.lstatSync(address, { throwIfNoEntry: false })?.isSymbolicLink()) throw throughLink(path);
      throw error;
    }
  }
}

class SeenDirectories implements TreeDirectories {
  readonly #root: string;
  /** Known to be directories and no links. */
  readonly #known = new Set(['']);

  constructor(root: string) {
    this.#root = root;
  }

  make(path: string): void {
    if (this.#known.has(path)) return;
    this.make(parentOf(path));
    makeUnlessThere(this.at(path), path);
    this.#known.add(path);
  }

  at(path: string): Buffer {
    return Buffer.from(`${this.#root}/${path}`, 'latin1');
  }

  isDirectory(path: string): boolean {
    if (this.#known.has(path)) return true;
    return this.isDirectory(parentOf(path)) && fs.lstatSync(this.at(path), { throwIfNoEntry: false })?.isDirectory() === true;
  }

  name(): void {}

  close(): void {}
}

function makeUnlessThere(at: Buffer, path: string): void {
  try {
    fs.mkdirSync(at, 0o755);
  } catch (error) {
    if (systemCode(error) !== 'EEXIST') throw error;
    const found = fs.lstatSync(at);
    if (found.isSymbolicLink()) throw throughLink(path);
    if (!found.isDirectory()) throw error;
  }
}

/** The name of `path` in the directory above it. */
function addressOf(fd: number, path: string, parent: string): Buffer {
  return Buffer.from(`/proc/self/fd/${fd}/${parent === '' ? path : path.slice(parent.length + 1)}`, 'latin1');
}

/** What it goes through is told by whoever knows the entry. */
function throughLink(path: string): CroftError {
  return new CroftError('invalid', 'a directory is a symbolic link', { fields: { link: path } });
}

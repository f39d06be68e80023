/**
 * Opens a file below a directory, whatever is exchanged for a link meanwhile: each directory on the way is opened by itself and its name
 * looked up from the one before, which is held open. Links are read and walked here, so that none leads out. buildlet.md 1.3 (WE).
 */
import fs from 'node:fs';
import { basename, dirname, isAbsolute, join, relative, sep } from 'node:path';
import { CroftError, systemCode } from '@croft/runtime/errors';
import { checkRelative, insideOf, leadsOut } from './paths.ts';

/** As many links on one way as Linux follows. */
const maxLinks = 40;
const { O_CREAT, O_DIRECTORY, O_NOFOLLOW, O_NONBLOCK, O_RDONLY, O_TRUNC, O_WRONLY } = fs.constants;
const directoryFlags = O_RDONLY | O_DIRECTORY | O_NOFOLLOW;
const createFlags = O_WRONLY | O_CREAT | O_TRUNC | (O_NOFOLLOW ?? 0) | (O_NONBLOCK ?? 0);

/**
 * Creates or truncates the file; its directories are made. The caller closes it.
 * @param root absolute and without links. @throws CroftError `invalid` when the path leaves it, what the system says
 */
export async function createInside(root: string, path: string): Promise<number> {
  const clean = checkRelative(path);
  if (process.platform === 'linux') return new Way(root, clean).create();
  const parent = await insideOf(root, dirname(clean)); // elsewhere names cannot be looked up from an open directory
  fs.mkdirSync(parent, { recursive: true, mode: 0o755 });
  return fs.openSync(join(parent, basename(clean)), createFlags, 0o666);
}

class Way {
  readonly #root: string;
  readonly #path: string;
  readonly #open: number[] = [];
  #links = 0;

  constructor(root: string, path: string) {
    this.#root = root;
    this.#path = path;
  }

  create(): number {
    try {
      this.#open.push(fs.openSync(this.#root, directoryFlags));
      const left = partsOf(this.#path);
      for (let part = left.shift(); part !== undefined; part = left.shift()) {
        const at = `/proc/self/fd/${this.#open.at(-1)}/${part}`;
        const target = part === '..' ? undefined : linkTarget(at);
        if (part === '..') this.#goUp();
        else if (target !== undefined) left.unshift(...this.#follow(target));
        else if (left.length === 0) return fs.openSync(at, createFlags, 0o666);
        else this.#goDown(at);
      }
      return fs.openSync(this.#root, createFlags); // a directory, which the system refuses
    } finally {
      for (const fd of this.#open) fs.closeSync(fd);
    }
  }

  #goUp(): void {
    if (this.#open.length < 2) throw leadsOut(this.#path);
    fs.closeSync(this.#open.pop() ?? -1);
  }

  #goDown(at: string): void {
    try {
      fs.mkdirSync(at, 0o755);
    } catch (error) {
      if (systemCode(error) !== 'EEXIST') throw error;
    }
    this.#open.push(fs.openSync(at, directoryFlags));
  }

  #follow(target: string): string[] {
    this.#links += 1;
    if (this.#links > maxLinks) throw new CroftError('invalid', `path ${JSON.stringify(this.#path)} goes through too many links`);
    if (!isAbsolute(target)) return partsOf(target);
    const below = relative(this.#root, target);
    if (below === '..' || below.startsWith(`..${sep}`)) throw leadsOut(this.#path);
    while (this.#open.length > 1) this.#goUp();
    return partsOf(below);
  }
}

function partsOf(path: string): string[] {
  return path.split('/').filter((part) => part !== '' && part !== '.');
}

function linkTarget(at: string): string | undefined {
  try {
    return fs.readlinkSync(at);
  } catch (error) {
    if (['EINVAL', 'ENOENT'].includes(systemCode(error) ?? '')) return undefined; // no link, or nothing
    throw error;
  }
}

/**
 * What a repository on this machine has, read from its files: a hundredth of what a listing by git costs. Whatever is not plainly as
 * git usually writes it (reftables, links, symbolic branches, very many files) is left to git.
 */
import fs from 'node:fs';
import { join } from 'node:path';
import { parseRevision, type Revision } from '@croft/domain/names';
import { isBranchName } from './branch-name.ts';

export interface LocalRefs {
  readonly heads: Map<string, Revision>;
  /** The ref that HEAD names; undefined when it is on a commit of its own. */
  readonly target: string | undefined;
  readonly detached: Revision | undefined;
}

const most = { files: 500, refBytes: 300, packedBytes: 1024 * 1024 };
const { O_RDONLY, O_NONBLOCK, O_NOFOLLOW } = fs.constants;

/** Undefined when git has to be asked, also for what is wrong with it. */
export function readLocalRefs(path: string): LocalRefs | undefined {
  try {
    const dir = gitDirOf(path);
    const head = readSmall(join(dir, 'HEAD'), most.refBytes).trim();
    const target = /^ref: (refs\/heads\/\S+)$/.exec(head)?.[1];
    const detached = target === undefined ? parseRevision(head) : undefined;
    // A ref that is packed at this moment leaves its own file after it has come into the other: so that is read last.
    const loose = readLoose(join(dir, 'refs', 'heads'));
    const heads = new Map([...readPacked(join(dir, 'packed-refs')), ...loose].toSorted(([a], [b]) => (a < b ? -1 : 1)));
    return { heads, target, detached };
  } catch {
    return undefined;
  }
}

class NotPlain extends Error {}

/** As git looks for it. @throws when it is not as simple as that */
function gitDirOf(path: string): string {
  const inside = join(path, '.git');
  const dir = fs.statSync(inside, { throwIfNoEntry: false })?.isDirectory() === true ? inside : path;
  // A link to another place, a working tree beside another, another way of keeping refs.
  for (const strange of [...(dir === path ? [inside] : []), join(dir, 'commondir'), join(dir, 'reftable')]) {
    if (fs.existsSync(strange)) throw new NotPlain(strange);
  }
  if (!fs.statSync(join(dir, 'objects')).isDirectory()) throw new NotPlain(dir);
  return dir;
}

function readLoose(root: string): Map<string, Revision> {
  const found = new Map<string, Revision>();
  const walk = (dir: string, prefix: string): void => {
    for (const entry of fs.readdirSync(dir, { withFileTypes: true })) {
      const name = `${prefix}${entry.name}`;
      if (entry.isDirectory()) walk(join(dir, entry.name), `${name}/`);
      else if (!entry.isFile() || found.size >= most.files) throw new NotPlain(join(dir, entry.name));
      else if (isBranchName(name)) found.set(name, parseRevision(readSmall(join(dir, entry.name), most.refBytes).trim()));
    }
  };
  walk(root, '');
  return found;
}

function readPacked(path: string): Map<string, Revision> {
  if (!fs.existsSync(path)) return new Map();
  const lines = readSmall(path, most.packedBytes).matchAll(/^([0-9a-f]{40,64}) refs\/heads\/(.+)$/gm);
  return new Map([...lines].filter(([, , name = '']) => isBranchName(name)).map(([, id = '', name = '']) => [name, parseRevision(id)]));
}

/** Never waits for a pipe, never follows a link. @throws when it is no plain file, or too large */
function readSmall(path: string, maxBytes: number): string {
  const file = fs.openSync(path, O_RDONLY | O_NONBLOCK | O_NOFOLLOW);
  try {
    const { size } = fs.fstatSync(file);
    if (size > maxBytes) throw new NotPlain(path);
    const content = Buffer.alloc(size);
    return content.toString('utf8', 0, fs.readSync(file, content));
  } finally {
    fs.closeSync(file);
  }
}

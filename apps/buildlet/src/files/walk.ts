/**
 * A tree as Go's `filepath.Walk` goes through it: depth first, a directory before what lies in it, names in the order of their bytes, no
 * link followed, not even the base itself. Only the names of the directories under way are held. buildlet.md 1.5.
 */
import fs from 'node:fs';

export interface Walked {
  /** Below the base, one character for each byte; empty for a base that is no directory. The base itself is otherwise left out. */
  readonly path: string;
  /** What the system knows it by. */
  readonly at: SystemPath;
  readonly stats: fs.BigIntStats;
}

/** Text where it is the same bytes, which is shorter work for Node. */
export type SystemPath = string | Buffer;

export interface WalkOptions {
  /** Asked when a directory was handed out: whether to go into it. */
  readonly enters: (directory: Walked) => boolean;
  /** Throws what ends the walk. Otherwise what cannot be looked at is left out, and a directory that was handed out is empty. */
  readonly onFailure?: (error: unknown) => undefined;
}

/** For small files the hops through the event loop cost more than the disk. Whoever walks gives others their turn this often. */
export const entriesInTurn = 128;

/** @throws what the system says of the first thing that cannot be read, unless `onFailure` is given; of the base in every case */
export function* walkTree(base: string, { enters, onFailure = raise }: WalkOptions): Generator<Walked, void> {
  const stats = lstat(base);
  if (!stats.isDirectory()) return yield { path: '', at: base, stats };
  const start = `${Buffer.from(base).toString('latin1')}/`;
  const pending = namesIn(base);
  for (let path = pending.pop(); path !== undefined; path = pending.pop()) {
    const at = systemPath(start + path);
    const status = readOr(onFailure, () => lstat(at));
    if (!status) continue;
    const found: Walked = { path, at, stats: status };
    yield found;
    if (!status.isDirectory() || !enters(found)) continue;
    for (const name of readOr(onFailure, () => namesIn(at)) ?? []) pending.push(`${path}/${name}`);
  }
}

function raise(error: unknown): never {
  throw error;
}

function readOr<T>(onFailure: (error: unknown) => undefined, read: () => T): T | undefined {
  try {
    return read();
  } catch (error) {
    return onFailure(error);
  }
}

/** Without rounding: what is below a millisecond decides to which second a file belongs. */
function lstat(at: SystemPath): fs.BigIntStats {
  return fs.lstatSync(at, { bigint: true });
}

/** Last name first; the order of characters is that of bytes here. */
function namesIn(directory: SystemPath): string[] {
  return fs.readdirSync(directory, 'latin1').sort().reverse();
}

function systemPath(bytes: string): SystemPath {
  return /^[\0-\x7f]*$/.test(bytes) ? bytes : Buffer.from(bytes, 'latin1');
}

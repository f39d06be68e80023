/**
 * A tree as Go's `filepath.Walk` goes through it: depth first, a directory before what lies in it, names in the order of their bytes, no
 * link followed, not even the base itself. Only the names of the directories under way are held. buildlet.md 1.5.
 */
import fs from 'node:fs';

export interface Walked {
  /** Below the base; empty for a base that is no directory. The base itself is otherwise left out. */
  readonly path: Buffer;
  readonly at: Buffer;
  readonly stats: fs.BigIntStats;
}

export interface WalkOptions {
  /** Asked when a directory was handed out: whether to go into it. */
  readonly enters: (directory: Walked) => boolean;
  /** What is gone when it is looked at is left out, and a directory that cannot be read is empty. */
  readonly lenient?: boolean;
}

/** For small files the hops through the event loop cost more than the disk. Whoever walks gives others their turn this often. */
export const entriesInTurn = 128;
const slash = Buffer.from('/');

/** @throws what the system says of the first thing that cannot be read, unless it is lenient; of the base in every case */
export function* walkTree(base: Buffer, { enters, lenient = false }: WalkOptions): Generator<Walked, void> {
  const stats = lstat(base);
  if (!stats.isDirectory()) return yield { path: Buffer.alloc(0), at: base, stats };
  const pending = namesIn(base);
  for (let path = pending.pop(); path; path = pending.pop()) {
    const at = joined(base, path);
    const status = lenient ? ifReadable(() => lstat(at)) : lstat(at);
    if (!status) continue;
    const found: Walked = { path, at, stats: status };
    yield found;
    if (!status.isDirectory() || !enters(found)) continue;
    const names = lenient ? ifReadable(() => namesIn(at)) : namesIn(at);
    for (const name of names ?? []) pending.push(joined(path, name));
  }
}

function ifReadable<T>(read: () => T): T | undefined {
  try {
    return read();
  } catch {
    return undefined;
  }
}

/** Without rounding: what is below a millisecond decides to which second a file belongs. */
function lstat(at: Buffer): fs.BigIntStats {
  return fs.lstatSync(at, { bigint: true });
}

/** Last name first. */
function namesIn(directory: Buffer): Buffer[] {
  return fs.readdirSync(directory, 'buffer').sort((a, b) => Buffer.compare(b, a));
}

function joined(parent: Buffer, name: Buffer): Buffer {
  return Buffer.concat([parent, slash, name]);
}

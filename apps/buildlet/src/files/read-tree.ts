/**
 * What lies below a directory, as entries of an archive. Neither the number of files nor their size is held in memory. buildlet.md 1.6;
 * where patterns select, sockets, fifos and devices are left out.
 */
import fs from 'node:fs';
import { open, type FileHandle } from 'node:fs/promises';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { mayHold, selects } from '@croft/domain/pattern';
import { CroftError, systemCode } from '@croft/runtime/errors';
import { free } from '@croft/streams/release';
import type { ReadInto, TarEntry } from '@croft/streams/tar-pack';
import { readAccounts, type Accounts } from './accounts.ts';
import { readFlags } from './read-flags.ts';
import { entriesInTurn, walkTree, type SystemPath, type Walked } from './walk.ts';

export interface TreeOptions {
  /** Patterns over paths below the root; none: everything. */
  readonly match: readonly string[];
  /** Told of each thing that is left out because it went away, or became another, after it was listed. */
  readonly onGone?: () => undefined;
  readonly signal: AbortSignal;
}

/** For small files the hops through the event loop cost more than the disk. */
const atOnceBytes = 64 * 1024;
const pieceBytes = 1024 * 1024;
/** What the system says of a name behind which something else, or nothing, is found than was listed. */
const goneCodes = ['ENOENT', 'ENOTDIR', 'ELOOP', 'EISDIR', 'ENXIO', 'EAGAIN', 'ESTALE'];
const nsPerSecond = 1_000_000_000n;

/**
 * Small files come several together, to be read when they are packed. A root that is no directory is one entry with an empty name. What is gone
 * when its turn comes is left out. By patterns, so is what may not be read: no step could read it either.
 * @throws what the system says of any other; CroftError `invalid` at a socket, which no archive can hold, `conflict` when a large file becomes
 *   shorter while it is read
 */
export async function* treeEntries(
  root: string,
  { match, onGone = (): undefined => undefined, signal }: TreeOptions,
): AsyncGenerator<readonly TarEntry[]> {
  const all = match.length === 0;
  const enters = ({ path, at }: Walked): boolean => all || (mayHold(match, textOf(path)) && mayRead(at, 0o500));
  const scratch = Buffer.allocUnsafeSlow(pieceBytes);
  const reading = { accounts: readAccounts(), scratch, signal, leavesOut: all ? goneCodes : [...goneCodes, 'EACCES'], onGone };
  const together: TarEntry[] = [];
  let count = 0;
  try {
    for (const found of walkTree(root, { enters, onFailure: (error) => unlessGone(error, reading) })) {
      if ((count += 1) % entriesInTurn === 0) {
        yield together.splice(0);
        await nextTurn();
        signal.throwIfAborted();
      }
      if (!all && !(selects(match, textOf(found.path)) && isPlain(found))) continue;
      if (found.stats.isFile() && found.stats.size > atOnceBytes) {
        yield together.splice(0); // it takes long: what follows is looked at afterwards
        yield* largeFile(found, reading);
        continue;
      }
      const entry = entryOf(found, reading);
      if (entry) together.push(entry);
    }
    yield together;
  } finally {
    free(scratch.buffer);
  }
}

function textOf(path: string): string {
  return Buffer.from(path, 'latin1').toString();
}

/** What an archive of selected files holds. */
function isPlain({ at, stats }: Walked): boolean {
  return stats.isDirectory() || stats.isSymbolicLink() || (stats.isFile() && mayRead(at, 0o400));
}

/** Whether its owner, and this process, may; the bits are those of the owner. */
function mayRead(at: SystemPath, bits: number): boolean {
  try {
    fs.accessSync(at, bits >> 6);
    return (fs.lstatSync(at).mode & bits) === bits;
  } catch {
    return false;
  }
}

interface Reading {
  readonly accounts: Accounts;
  /** For contents of large files, one at a time. */
  readonly scratch: Buffer;
  readonly signal: AbortSignal;
  /** Codes of the system. */
  readonly leavesOut: readonly string[];
  readonly onGone: () => undefined;
}

type Head = Pick<TarEntry & { readonly kind: 'file' }, 'path' | 'mode' | 'mtime' | 'owner'>;

/** @throws any other failure */
function unlessGone(error: unknown, { leavesOut, onGone }: Reading): undefined {
  if (!leavesOut.includes(systemCode(error) ?? '')) throw error;
  return onGone();
}

/** As it is when it is opened, and open until it was packed. */
async function* largeFile(found: Walked, reading: Reading): AsyncGenerator<readonly TarEntry[]> {
  await using file = await open(found.at, readFlags).catch((error: unknown) => unlessGone(error, reading));
  const stats = await file?.stat({ bigint: true });
  if (!file || !stats) return;
  if (!stats.isFile()) return reading.onGone();
  const size = Number(stats.size);
  yield [{ kind: 'file', ...headOf({ ...found, stats }, reading), size, content: pieces(file, size, reading) }];
}

/** Undefined: it is gone. */
function entryOf(found: Walked, reading: Reading): TarEntry | undefined {
  const { at, stats } = found;
  const head = headOf(found, reading);
  if (stats.isDirectory()) return { kind: 'directory', ...head };
  if (stats.isSymbolicLink()) {
    const target = targetOf(at, reading);
    return target && { kind: 'link', ...head, target };
  }
  if (stats.isFile()) return { kind: 'file', ...head, size: Number(stats.size), content: atOnce(at, Number(stats.size), reading) };
  if (stats.isFIFO()) return { kind: 'fifo', ...head };
  if (stats.isSocket()) throw new CroftError('invalid', `archive/tar: sockets not supported: ${at.toString()}`);
  return { kind: stats.isBlockDevice() ? 'block-device' : 'character-device', ...head, device: deviceOf(stats.rdev) };
}

function headOf({ path, stats }: Walked, { accounts }: Reading): Head {
  const owner = accounts.ownerOf(Number(stats.uid), Number(stats.gid));
  return { path: Buffer.from(path, 'latin1'), mode: Number(stats.mode) & 0o7777, mtime: nearestSecond(stats.mtimeNs), owner };
}

/** Half a second belongs to the next one, before 1970 as well. */
function nearestSecond(epochNs: bigint): number {
  const sum = epochNs + nsPerSecond / 2n;
  return Number(sum / nsPerSecond) - (sum % nsPerSecond < 0n ? 1 : 0);
}

/** As Linux divides the number of a device. */
function deviceOf(rdev: bigint): { major: number; minor: number } {
  return { major: Number(((rdev >> 8n) & 0xfffn) | ((rdev >> 32n) & ~0xfffn)), minor: Number((rdev & 0xffn) | ((rdev >> 12n) & ~0xffn)) };
}

function targetOf(at: SystemPath, reading: Reading): Buffer | undefined {
  try {
    return fs.readlinkSync(at, 'buffer');
  } catch (error) {
    if (systemCode(error) !== 'EINVAL') return unlessGone(error, reading);
    return reading.onGone(); // it is no link any more
  }
}

function atOnce(at: SystemPath, size: number, reading: Reading): ReadInto {
  return (memory, from) => {
    try {
      const fd = fs.openSync(at, readFlags);
      try {
        const bytes = fs.readSync(fd, memory, from, size, null);
        const isWhole = bytes === size && size > 0; // what became a fifo has no bytes
        return isWhole || fs.fstatSync(fd).isFile() ? bytes : reading.onGone();
      } finally {
        fs.closeSync(fd);
      }
    } catch (error) {
      return unlessGone(error, reading);
    }
  };
}

/** As many bytes as were announced: what is added meanwhile does not belong to it. */
async function* pieces(file: FileHandle, size: number, { scratch, signal }: Reading): AsyncGenerator<Buffer> {
  for (let from = 0; from < size;) {
    signal.throwIfAborted();
    const { bytesRead } = await file.read(scratch, 0, Math.min(scratch.length, size - from), null);
    if (bytesRead === 0) throw new CroftError('conflict', 'a file became shorter while it was read');
    from += bytesRead;
    yield scratch.subarray(0, bytesRead);
  }
}

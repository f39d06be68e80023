/**
 * What lies below a directory, as entries of an archive: in order of the names' bytes, no link followed. Neither the number of files nor
 * their size is held in memory. buildlet.md 1.6; sockets, fifos and devices are left out.
 */
import fs from 'node:fs';
import { open } from 'node:fs/promises';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { mayHold, selects } from '@croft/domain/pattern';
import { CroftError } from '@croft/runtime/errors';
import type { TarEntry } from '@croft/streams/tar-pack';

export interface TreeOptions {
  /** Patterns over paths below the root; none: everything. */
  readonly match: readonly string[];
  readonly signal: AbortSignal;
}

interface Found {
  /** Below the root. */
  readonly path: Buffer;
  readonly entry: fs.Dirent<Buffer>;
}

/** `O_NONBLOCK`: what became a fifo meanwhile does not hold us up. */
const readFlags = fs.constants.O_RDONLY | (fs.constants.O_NOFOLLOW ?? 0) | (fs.constants.O_NONBLOCK ?? 0);
/** For small files the hops through the event loop cost more than the disk. */
const atOnceBytes = 64 * 1024;
const pieceBytes = 256 * 1024;
const slash = Buffer.from('/');

/** By patterns, what may not be read is left out: no step could read it either. @throws what the system says of any other */
export async function* treeEntries(root: string, { match, signal }: TreeOptions): AsyncGenerator<TarEntry> {
  const at = (path: Buffer): Buffer => Buffer.concat([Buffer.from(`${root}/`), path]);
  const isOpen = (path: Buffer, bits: number): boolean => match.length === 0 || mayRead(at(path), bits);
  const pending = childrenOf(at(Buffer.alloc(0)), undefined);
  for (let next = pending.pop(); next; next = pending.pop()) {
    signal.throwIfAborted();
    const { path, entry } = next;
    const name = path.toString();
    const wanted = selects(match, name);
    if (entry.isDirectory()) {
      if (wanted) yield { kind: 'directory', path };
      if (mayHold(match, name) && isOpen(path, 0o500)) pending.push(...childrenOf(at(path), path));
      await nextTurn();
    } else if (wanted && entry.isSymbolicLink()) yield { kind: 'link', path, target: fs.readlinkSync(at(path), 'buffer') };
    else if (wanted && entry.isFile() && isOpen(path, 0o400)) yield await fileEntry(path, at(path), signal);
  }
}

/** Whether its owner, and this process, may; the bits are those of the owner. */
function mayRead(at: Buffer, bits: number): boolean {
  try {
    fs.accessSync(at, bits >> 6);
    return (fs.lstatSync(at).mode & bits) === bits;
  } catch {
    return false;
  }
}

/** Last name first. */
function childrenOf(directory: Buffer, parent: Buffer | undefined): Found[] {
  const entries = fs.readdirSync(directory, { withFileTypes: true, encoding: 'buffer' });
  return entries
    .toSorted((a, b) => Buffer.compare(b.name, a.name))
    .map((entry) => ({ entry, path: parent ? Buffer.concat([parent, slash, entry.name]) : entry.name }));
}

async function fileEntry(path: Buffer, at: Buffer, signal: AbortSignal): Promise<TarEntry> {
  const { size, mode, mtimeMs } = fs.lstatSync(at);
  const head = { kind: 'file', path, mode: mode & 0o7777, mtime: Math.max(0, Math.round(mtimeMs / 1_000)) } as const;
  if (size > atOnceBytes) return { ...head, size, content: pieces(at, size, signal) };
  const fd = fs.openSync(at, readFlags);
  try {
    const content = Buffer.alloc(size);
    return { ...head, size, content: content.subarray(0, fs.readSync(fd, content, 0, size, 0)) };
  } finally {
    fs.closeSync(fd);
  }
}

/** As many bytes as were announced: what is added meanwhile does not belong to it. */
async function* pieces(at: Buffer, size: number, signal: AbortSignal): AsyncGenerator<Buffer> {
  await using file = await open(at, readFlags);
  for (let from = 0; from < size;) {
    signal.throwIfAborted();
    const { bytesRead, buffer } = await file.read(Buffer.allocUnsafe(Math.min(pieceBytes, size - from)), 0, null, from);
    if (bytesRead === 0) throw new CroftError('conflict', 'a file became shorter while it was read');
    from += bytesRead;
    yield buffer.subarray(0, bytesRead);
  }
}

/** What SETSTAT and its like change: length, mode, times, owner, in OpenSSH's order. */
import fs from 'node:fs';
import { chmod, chown, lchown, lstat, lutimes, truncate, utimes } from 'node:fs/promises';
import { promisify } from 'node:util';
import { offsetOf, StatusError, statuses, type GivenAttributes } from './wire.ts';

const modeBits = 0o7777;

interface Changes {
  truncate(size: number): Promise<void>;
  chmod(mode: number): Promise<void>;
  utimes(accessed: number, modified: number): Promise<void>;
  chown(uid: number, gid: number): Promise<void>;
}

export function changePath(path: Buffer, given: GivenAttributes): Promise<undefined> {
  return change(given, {
    truncate: (size) => truncate(path, size),
    chmod: (mode) => chmod(path, mode),
    utimes: (accessed, modified) => utimes(path, accessed, modified),
    chown: (uid, gid) => chown(path, uid, gid),
  });
}

/** A link itself, which has no length and, on Linux, no mode of its own. */
export function changeEntry(path: Buffer, given: GivenAttributes): Promise<undefined> {
  return change(given, {
    truncate: async () => refuse('a link has no length to be set'),
    chmod: async (mode) => ((await lstat(path)).isSymbolicLink() ? refuse('a link has no mode of its own') : chmod(path, mode)),
    utimes: (accessed, modified) => lutimes(path, accessed, modified),
    chown: (uid, gid) => lchown(path, uid, gid),
  });
}

const [truncateFile, chmodFile, utimesFile, chownFile] = [fs.ftruncate, fs.fchmod, fs.futimes, fs.fchown].map((call) =>
  promisify(call),
) as [
  (fd: number, size: number) => Promise<void>,
  (fd: number, mode: number) => Promise<void>,
  (fd: number, accessed: number, modified: number) => Promise<void>,
  (fd: number, uid: number, gid: number) => Promise<void>,
];

export function changeFile(fd: number, given: GivenAttributes): Promise<undefined> {
  return change(given, {
    truncate: (size) => truncateFile(fd, size),
    chmod: (mode) => chmodFile(fd, mode),
    utimes: (accessed, modified) => utimesFile(fd, accessed, modified),
    chown: (uid, gid) => chownFile(fd, uid, gid),
  });
}

async function change({ size, mode, times, owner }: GivenAttributes, changes: Changes): Promise<undefined> {
  if (size !== undefined) await changes.truncate(offsetOf(size));
  if (mode !== undefined) await changes.chmod(mode & modeBits);
  if (times) await changes.utimes(times.accessed, times.modified);
  if (owner) await changes.chown(owner.uid, owner.gid);
  return undefined;
}

function refuse(message: string): never {
  throw new StatusError(statuses.unsupported, message);
}

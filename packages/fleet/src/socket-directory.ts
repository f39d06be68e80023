/** Where sockets may stand: a path of at most 100 bytes in a directory that is ours alone. */
import { lstat, mkdir, rmdir } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { sha256Hex } from '@croft/runtime/digest';
import { CroftError, systemCode } from '@croft/runtime/errors';

/** A Unix socket's path may have 107 bytes; names in the directory may have 40. */
const longestDir = 60;

/** @throws CroftError `forbidden` when the directory belongs to somebody else or others may enter it. */
export async function socketDirectory(dir: string): Promise<string> {
  const inside = join(dir, 'sockets');
  const path = Buffer.byteLength(inside) <= longestDir ? inside : join(tmpdir(), `croft-${sha256Hex(dir).slice(0, 16)}`);
  await mkdir(path, { recursive: true, mode: 0o700 });
  const found = await lstat(path);
  const own = process.getuid === undefined || found.uid === process.getuid();
  if (!found.isDirectory() || !own || (found.mode & 0o077) !== 0) {
    throw new CroftError('forbidden', `the socket directory ${path} is not a directory of mode 0700 that belongs to this user`, {
      hint: `Remove ${path} or choose a data directory with a shorter path.`,
    });
  }
  return path;
}

/** Another pool may still have sockets in it. */
export async function removeEmpty(directory: string): Promise<void> {
  try {
    await rmdir(directory);
  } catch (error) {
    if (!['ENOTEMPTY', 'EEXIST', 'ENOENT'].includes(systemCode(error) ?? '')) throw error;
  }
}

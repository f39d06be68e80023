/**
 * Which Unix sockets of this machine are reached or made for somebody far away: those below the work directory and the directory for temporary
 * files, where a session's own programs have theirs. Not those by which the machine itself is ruled.
 */
import { realpath } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { basename, dirname, join, resolve, sep } from 'node:path';
import { CroftError, errorText } from '@croft/runtime/errors';

/** What every system has room for in the address of a socket. */
const maxBytes = 103;

/** With links resolved; a relative path begins at the work directory. @throws CroftError `not-found`, `forbidden` */
export async function socketToReach(workDir: string, path: string): Promise<string> {
  return inside(workDir, path, await real(resolve(workDir, path)));
}

/** The same of one that is to be made: its directory is there. */
export async function socketToMake(workDir: string, path: string): Promise<string> {
  const asked = resolve(workDir, path);
  return inside(workDir, path, join(await real(dirname(asked)), basename(asked)));
}

async function inside(workDir: string, path: string, found: string): Promise<string> {
  const roots = await Promise.all([workDir, tmpdir()].map((root) => realpath(root)));
  if (!roots.some((root) => found.startsWith(root + sep)))
    throw new CroftError('forbidden', `${path}: sockets are reached below ${roots.join(' and ')} alone`);
  if (Buffer.byteLength(found) > maxBytes) throw new CroftError('invalid', `${path}: a socket's path has at most ${maxBytes} bytes`);
  return found;
}

async function real(path: string): Promise<string> {
  try {
    return await realpath(path);
  } catch (error) {
    throw new CroftError('not-found', `${path}: ${errorText(error)}`, { cause: error });
  }
}

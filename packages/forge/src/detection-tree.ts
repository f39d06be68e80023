/** A commit, or a working tree, as the detectors of `@croft/domain/detect-steps` look at it. */
import type { Tree } from '@croft/domain/detect-steps';
import type { Revision } from '@croft/domain/names';
import type { Waits } from '@croft/runtime/clock';
import { CroftError, isCode } from '@croft/runtime/errors';
import type { Mirror } from './git.ts';
import type { WorkingTree } from './working-tree.ts';

/** Larger files are not read when looking for the command. */
const mostBytes = 1024 * 1024;

export async function treeOfCommit(mirror: Mirror, revision: Revision, waits: Waits): Promise<Tree> {
  return treeOf(await mirror.tree(revision, waits), (path) => mirror.readFile(revision, path, waits, mostBytes));
}

export async function treeOfFiles(files: WorkingTree, waits: Waits): Promise<Tree> {
  return treeOf(await files.files(waits), (path) => files.readFile(path, mostBytes));
}

function treeOf(
  entries: readonly { readonly path: Buffer; readonly mode: string }[],
  read: (path: string) => Promise<Buffer | undefined>,
): Tree {
  const modes = new Map(entries.map(({ path, mode }) => [path.toString('latin1'), mode]));
  return {
    paths: () => [...modes.keys()],
    mode: (path) => modes.get(path),
    read: async (path) => (modes.has(path) ? readText(path, read) : undefined),
  };
}

/** @throws CroftError `invalid` for one that is too large: that is the commit's doing and not a machine's. */
async function readText(path: string, read: (path: string) => Promise<Buffer | undefined>): Promise<string | undefined> {
  try {
    return (await read(path))?.toString('utf8');
  } catch (error) {
    if (!isCode(error, 'exhausted')) throw error;
    throw new CroftError('invalid', `${path} of this commit is larger than ${mostBytes} bytes`, { cause: error });
  }
}

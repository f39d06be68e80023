/**
 * Directories in which files are made fast. ext4 makes what is new beside what was deleted there, and without a journal it looks
 * at every inode deleted within the last minutes for each one it makes: a fresh tree of 300 files then takes 250 ms instead of 10.
 * So a directory of trees asks for each tree to lie somewhere else, and a tree begins under a name that none had before.
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { lstat, mkdir, rename, rmdir } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { systemCode } from '@croft/runtime/errors';
import type { Random } from '@croft/runtime/random';

/** What is made in this directory from now on is spread over the disk. Only ext2 to ext4 can; elsewhere nothing changes. */
export async function spreadTrees(dir: string): Promise<void> {
  if (process.platform !== 'linux') return;
  const child = spawn('chattr', ['+T', dir], { stdio: 'ignore' });
  await once(child, 'exit').catch(() => undefined); // there is no such program
}

/** Makes the directory if there is nothing; the one that holds it exists. */
export async function makeTree(path: string, random: Random): Promise<void> {
  const there = await lstat(path).then(
    () => true,
    () => false,
  );
  if (there) return;
  const draft = join(dirname(path), `.${random.hex(8)}`);
  await mkdir(draft);
  try {
    await rename(draft, path);
  } catch (error) {
    await rmdir(draft);
    if (!['EEXIST', 'ENOTEMPTY', 'ENOTDIR'].includes(systemCode(error) ?? '')) throw error; // somebody else made something first
  }
}

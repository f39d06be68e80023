/** Removes a directory with all that a command has left in it, read-only directories too. */
import { chmod, readdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { systemCode } from '@croft/runtime/errors';

const all = { recursive: true, force: true, maxRetries: 3 } as const;

export async function removeTree(dir: string): Promise<void> {
  try {
    await rm(dir, all);
  } catch (error) {
    if (!['EACCES', 'EPERM'].includes(systemCode(error) ?? '')) throw error;
    await openUp(dir);
    await rm(dir, all);
  }
}

/** Links are not followed. */
async function openUp(dir: string): Promise<void> {
  await chmod(dir, 0o700);
  for (const entry of await readdir(dir, { withFileTypes: true })) if (entry.isDirectory()) await openUp(join(dir, entry.name));
}

/** Small files that are whole or absent whenever the process or the power dies. */
import { open, readFile, rename } from 'node:fs/promises';
import { CroftError, systemCode } from '@croft/runtime/errors';

/** Replaces the file at once and for good: written beside, synchronised, renamed. */
export async function writeDurably(path: string, text: string): Promise<void> {
  const draft = `${path}.new`;
  {
    await using file = await open(draft, 'w', 0o600);
    await file.writeFile(text).catch((error: unknown) => {
      throw writeFailure(error, path);
    });
    await file.datasync();
  }
  await rename(draft, path);
}

/** Undefined when there is no such file. */
export async function readIfThere(path: string): Promise<string | undefined> {
  try {
    return await readFile(path, 'utf8');
  } catch (error) {
    if (systemCode(error) === 'ENOENT') return undefined;
    throw error;
  }
}

export function writeFailure(error: unknown, path: string): unknown {
  if (!['ENOSPC', 'EDQUOT'].includes(systemCode(error) ?? '')) return error;
  return new CroftError('exhausted', `write ${path}: the disk is full`, { cause: error, hint: 'Free disk space on the worker.' });
}

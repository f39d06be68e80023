/** `POST /removeall`: everything at once or nothing is checked, then each path in order. buildlet.md 1.9. */
import { readdir } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { CroftError, errorText } from '@croft/runtime/errors';
import { checkRelative, insideOf } from './paths.ts';
import type { Trash } from './trash.ts';

export interface RemoveOptions {
  readonly workDir: string;
  readonly trash: Trash;
  readonly signal: AbortSignal;
}

/**
 * Removes paths below the work directory; `.` empties it and keeps it.
 * @throws CroftError `invalid` before anything is removed when a path leaves the work directory
 */
export async function removeAll(paths: readonly string[], { workDir, trash, signal }: RemoveOptions): Promise<void> {
  const targets: string[] = [];
  for (const path of paths) targets.push(...(await targetsOf(workDir, path)));
  for (const target of targets) {
    signal.throwIfAborted();
    await trash.take(target);
  }
}

async function targetsOf(workDir: string, path: string): Promise<string[]> {
  try {
    const clean = checkRelative(path);
    if (clean === '.') return (await readdir(workDir)).map((name) => join(workDir, name));
    return [join(await insideOf(workDir, dirname(clean)), basename(clean))];
  } catch (error) {
    if (error instanceof CroftError) throw new CroftError('invalid', `invalid 'path' parameter: ${errorText(error)}`, { cause: error });
    throw error;
  }
}

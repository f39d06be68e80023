/** `POST /removeall`: everything at once or nothing is checked, then each path in order. buildlet.md 1.9. */
import { readdir } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { checkParameter, directoryBelow } from './paths.ts';
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
  const directories = new Map<string, Promise<string>>(); // one for thousands of files, as a rule
  const directoryOf = (path: string): Promise<string> => {
    const found = directories.get(path) ?? directoryBelow(workDir, 'path', path);
    directories.set(path, found);
    return found;
  };
  for (const path of paths) {
    const clean = checkParameter('path', path);
    if (clean === '.') targets.push(...(await readdir(workDir)).map((name) => join(workDir, name)));
    else targets.push(join(await directoryOf(dirname(clean)), basename(clean)));
  }
  for (const target of targets) {
    signal.throwIfAborted();
    await trash.take(target);
  }
}

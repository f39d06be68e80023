/** `POST /removeall`: everything at once or nothing is checked, then each path in order. buildlet.md 1.9. */
import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { checkParameter, entryBelow } from './paths.ts';
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
  if (checkParameter('path', path) === '.') return (await readdir(workDir)).map((name) => join(workDir, name));
  return [await entryBelow(workDir, 'path', path)];
}

/**
 * What a buildlet stands on: its directories. Commands run as the same user and may remove them. Without them it could neither
 * store an end nor empty its work directory, and would spoil every build that comes; so it notices, and ends.
 */
import { statSync } from 'node:fs';

export interface Ground {
  /** A path that is gone, or is another than at the start; undefined while all is well. */
  missing(): string | undefined;
}

export function watchGround(paths: readonly string[]): Ground {
  const marks = paths.map((path) => ({ path, mark: markOf(path) }));
  return { missing: () => marks.find(({ path, mark }) => markOf(path) !== mark)?.path };
}

/** Numbers of files are used again, instants of birth are not. */
function markOf(path: string): string | undefined {
  try {
    const { dev, ino, birthtimeMs } = statSync(path);
    return `${dev}:${ino}:${birthtimeMs}`;
  } catch {
    return undefined;
  }
}

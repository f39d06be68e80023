/**
 * What a buildlet stands on: its directories. Commands run as the same user and may remove them. Without them it could neither
 * store an end nor empty its work directory, and would spoil every build that comes; so it notices, and ends.
 */
import { closeSync, fstatSync, openSync, statSync, type Stats } from 'node:fs';

export interface Ground extends Disposable {
  /** A path that is gone, or is another than at the start; undefined while all is well. */
  missing(): string | undefined;
}

/** The directories are held open, so that no new one gets the number of one that was removed. */
export function watchGround(paths: readonly string[]): Ground {
  const held = paths.map((path) => {
    const fd = openSync(path, 'r');
    return { path, fd, stats: fstatSync(fd) };
  });
  return {
    missing: () => held.find(({ path, stats }) => !isAt(path, stats))?.path,
    [Symbol.dispose]() {
      for (const { fd } of held) closeSync(fd);
    },
  };
}

function isAt(path: string, { dev, ino }: Stats): boolean {
  try {
    const there = statSync(path);
    return there.ino === ino && there.dev === dev;
  } catch {
    return false; // gone, or closed to us
  }
}

/**
 * Group commit for SQLite. Connections run with synchronous=NORMAL, under which a COMMIT leaves its frames in the page cache of the -wal
 * file; whoever wants to know that they are on the disk awaits `flushed`. One fdatasync, on a thread of libuv, serves every
 * commit made before it began. Why that is as safe as synchronous=FULL: docs/decisions/0001-sqlite-group-commit.md.
 */
import { fdatasync, fstatSync, openSync, closeSync } from 'node:fs';
import { open } from 'node:fs/promises';
import { dirname } from 'node:path';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { promisify } from 'node:util';
import { CroftError } from '@croft/runtime/errors';

const sync = promisify(fdatasync);

export interface WalSync extends AsyncDisposable {
  /** To be called after each COMMIT. */
  committed(): void;
  /**
   * Resolves when all that was committed before the call is on the disk.
   * @throws CroftError `unavailable` after the first failure for ever: the kernel may have dropped pages that it could not write
   */
  flushed(): Promise<void>;
}

/**
 * Closing our descriptor of the -wal drops no lock: SQLite's POSIX locks are on the database and the -shm.
 * @param path the database's; its -wal must exist
 */
export async function openWalSync(path: string): Promise<WalSync> {
  const fd = openSync(`${path}-wal`, 'r+');
  await syncDirectory(dirname(path));
  let made = 0;
  let durable = 0;
  let broken: CroftError | undefined;
  let round: Promise<void> | undefined;
  const flush = async (): Promise<void> => {
    await nextTurn(); // lets the commits that are due in this turn of the event loop share the fdatasync
    const upTo = made;
    try {
      if (fstatSync(fd).nlink === 0) throw new Error('the file was removed while in use');
      await sync(fd);
      durable = upTo;
    } catch (error) {
      broken = new CroftError('unavailable', `synchronising ${path}-wal failed; the last changes may be lost`, {
        cause: error,
        hint: 'Check the disk, then start again: nothing more is accepted until then.',
      });
    } finally {
      round = undefined;
    }
  };
  return {
    committed: () => {
      made += 1;
    },
    async flushed() {
      for (const target = made; ;) {
        if (broken) throw broken;
        if (durable >= target) return;
        await (round ??= flush());
      }
    },
    async [Symbol.asyncDispose]() {
      await round;
      closeSync(fd);
    },
  };
}

/** Makes the names of the files just created durable. */
async function syncDirectory(directory: string): Promise<void> {
  await using handle = await open(directory, 'r');
  await handle.sync();
}

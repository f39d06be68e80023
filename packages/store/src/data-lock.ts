/**
 * One coordinator per data directory. The lock is SQLite's exclusive lock on a file of its own, which the system takes back when
 * the holder dies in whatever way. Beside it stands the holder's pid, for people.
 */
import { mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { CroftError, errorText } from '@croft/runtime/errors';

/** Keeps what is held from the garbage collector, which would give it back. */
const held = new Set<DatabaseSync>();

/**
 * Makes the directory if it is missing, for its owner only, and locks it until disposal.
 * @throws CroftError `conflict` when another process holds it, `unavailable` when it cannot be made or written
 */
export function lockDataDirectory(directory: string): Disposable {
  const pidFile = join(directory, 'coordinator.pid');
  const lock = openLock(directory);
  try {
    lock.exec('PRAGMA locking_mode = EXCLUSIVE; PRAGMA journal_mode = MEMORY; BEGIN EXCLUSIVE');
    writeFileSync(pidFile, `${process.pid}\n`);
    held.add(lock);
  } catch (error) {
    lock.close();
    throw refusal(error, directory, pidFile);
  }
  return {
    [Symbol.dispose]() {
      if (!held.delete(lock)) return;
      rmSync(pidFile, { force: true });
      lock.close();
    },
  };
}

function openLock(directory: string): DatabaseSync {
  try {
    mkdirSync(directory, { recursive: true, mode: 0o700 });
    return new DatabaseSync(join(directory, 'coordinator.lock'), { timeout: 0 });
  } catch (error) {
    throw unusable(error, directory);
  }
}

function refusal(error: unknown, directory: string, pidFile: string): CroftError {
  const busy = error instanceof Error && 'errcode' in error && error.errcode === 5; // SQLITE_BUSY
  if (!busy) return unusable(error, directory);
  const pid = readPid(pidFile);
  return new CroftError('conflict', `the data directory ${directory} is in use by ${pid ? `process ${pid}` : 'another process'}`, {
    cause: error,
    hint: `End ${pid ? `process ${pid}` : 'that process'} first, or choose another data directory.`,
  });
}

function unusable(error: unknown, directory: string): CroftError {
  return new CroftError('unavailable', `locking the data directory ${directory}: ${errorText(error)}`, {
    cause: error,
    hint: 'Check that the directory may be written and that its disk is not full.',
  });
}

function readPid(pidFile: string): string | undefined {
  try {
    return /^\d+/.exec(readFileSync(pidFile, 'utf8'))?.[0];
  } catch {
    return undefined; // the holder has not written it yet
  }
}

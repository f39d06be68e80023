/**
 * Deleting behind: what is removed is first renamed into a directory beside the work directory, which takes no time however
 * large it is, and deleted from there a moment later, all of it by one `rm`: starting a program stops us for milliseconds.
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmod, lstat, mkdir, readdir, rename, rm } from 'node:fs/promises';
import { setPriority } from 'node:os';
import { dirname, join } from 'node:path';
import type { Clock } from '@croft/runtime/clock';
import { CroftError, systemCode } from '@croft/runtime/errors';
import type { Log } from '@croft/runtime/log';
import type { Random } from '@croft/runtime/random';
import { createBell, type TaskGroup } from '@croft/runtime/tasks';
import { messages } from '../events.ts';

const niceness = 10;
/** ext4 without a journal passes over each inode deleted lately for every file it makes: a burst of builds is over by then. */
const gatherMs = 10_000;
/** So many paths fit into the arguments of a program. */
const together = 500;

export interface Trash {
  readonly dir: string;
  /** The path is gone when this resolves. A missing one is no failure, and a link is removed, not followed. */
  take(path: string): Promise<void>;
}

export interface TrashDeps {
  readonly tasks: TaskGroup;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
}

/** Opens the trash in `dir`, on the file system of what is to be removed; deletes what a predecessor left in it. */
export async function openTrash(dir: string, { tasks, clock, random, log }: TrashDeps): Promise<Trash> {
  await mkdir(dir, { recursive: true, mode: 0o700 });
  const bell = createBell();
  bell.ring();
  tasks.start('empty the trash', async ({ signal }) => {
    for (;;) {
      await bell.wait({ signal });
      await clock.sleep(gatherMs, { signal });
      const paths = (await readdir(dir)).map((name) => join(dir, name));
      for (let at = 0; at < paths.length; at += together) {
        for (const path of await removeTrees(paths.slice(at, at + together), signal)) log.warn(messages.trashKept, { path });
      }
    }
  });
  return {
    dir,
    async take(path) {
      try {
        await moveAway(path, join(dir, random.hex(12)));
        bell.ring();
      } catch (error) {
        if (systemCode(error) === 'ENOENT') return;
        // a mount point or another file system: there is no short way
        if (!['EXDEV', 'EBUSY'].includes(systemCode(error) ?? '')) throw error;
        if ((await removeTrees([path], tasks.signal)).length > 0)
          throw new CroftError('internal', `remove ${path}: it could not be deleted`);
      }
    },
  };
}

/** A directory can be moved only by who may write into it and into the one that holds it: read-only trees are opened first. */
async function moveAway(from: string, to: string): Promise<void> {
  try {
    await rename(from, to);
  } catch (error) {
    if (!['EACCES', 'EPERM'].includes(systemCode(error) ?? '')) throw error;
    await chmod(dirname(from), ((await lstat(dirname(from))).mode & 0o777) | 0o300);
    const stats = await lstat(from);
    if (stats.isDirectory()) await chmod(from, (stats.mode & 0o777) | 0o700);
    await rename(from, to);
  }
}

/** Deletes trees with the system's own program, which is fast and does not stop us; never beyond their file systems. Returns what is left. */
async function removeTrees(paths: readonly string[], signal: AbortSignal): Promise<string[]> {
  const within = process.platform === 'linux' ? ['--one-file-system'] : [];
  if (await runQuietly('rm', ['-rf', ...within, '--', ...paths], signal)) return [];
  await runQuietly('chmod', ['-R', 'u+rwX', '--', ...paths], signal); // read-only directories; links are not followed
  if (await runQuietly('rm', ['-rf', ...within, '--', ...paths], signal)) return [];
  const kept = await Promise.all(
    paths.map((path) =>
      rm(path, { recursive: true, force: true }).then(
        () => [],
        () => [path],
      ),
    ),
  );
  return kept.flat();
}

async function runQuietly(program: string, args: readonly string[], signal: AbortSignal): Promise<boolean> {
  signal.throwIfAborted();
  const child = spawn(program, args, { stdio: 'ignore' });
  const stop = (): void => void child.kill();
  signal.addEventListener('abort', stop, { once: true });
  try {
    const ended = once(child, 'exit');
    if (child.pid !== undefined) setPriority(child.pid, niceness);
    const [code] = (await ended) as [number | null];
    return code === 0;
  } catch {
    return false;
  } finally {
    signal.removeEventListener('abort', stop);
  }
}

/**
 * What the machines of a Docker pool have on the disk of this computer, a directory for each: its password, and what is mounted into
 * its container, `state` (epoch, runs, spools, socket) and `home` (trees). Only the last two belong to what runs there.
 */
import { execFile } from 'node:child_process';
import { chown, mkdir, readdir, rename, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { parseMachineId, type MachineId } from '@croft/domain/names';
import { systemCode } from '@croft/runtime/errors';
import type { Log } from '@croft/runtime/log';
import type { Random } from '@croft/runtime/random';
import { createTaskGroup } from '@croft/runtime/tasks';
import { ensurePassword, passwordFile } from './machine-files.ts';
import { socketName } from './docker-container.ts';

export interface MachineDirectories extends AsyncDisposable {
  dir(id: MachineId): string;
  socket(id: MachineId): string;
  /** Machines of a pool that have a directory. */
  list(pool: string): Promise<MachineId[]>;
  /** Makes what is missing. @returns the machine's password: the one that it has, else this one */
  prepare(id: MachineId, made: { readonly user: string; readonly password: string }): Promise<string>;
  /** What ran there leaves nothing behind; deleted behind the caller's back, since trees are large. */
  clear(id: MachineId): Promise<void>;
  remove(id: MachineId): Promise<void>;
  /** Resolves when nothing is being deleted. */
  cleared(): Promise<void>;
}

const theirs = ['state', 'home'] as const;
const run = promisify(execFile);
const saidBytes = 64 * 1024;

export function createMachineDirectories(root: string, { random, log }: { random: Random; log: Log }): MachineDirectories {
  const tasks = createTaskGroup((task, error) => log.error('files of a machine not deleted', { task, error }));
  const gone = join(root, 'gone');
  const dir = (id: MachineId): string => join(root, id);
  const deleteGone = (): void =>
    tasks.start('delete what is gone', async () => {
      for (const name of await readdir(gone).catch(() => [])) await deleteHostile(join(gone, name));
    });
  const clear = async (id: MachineId): Promise<void> => {
    await mkdir(gone, { recursive: true, mode: 0o700 });
    for (const name of theirs) await rename(join(dir(id), name), join(gone, random.hex(8))).catch(unlessMissing);
    deleteGone();
  };
  deleteGone(); // what an earlier process did not come to
  return {
    dir,
    socket: (id) => join(dir(id), 'state', socketName),
    async list(pool) {
      const names = await readdir(root, { withFileTypes: true });
      const numbered = new RegExp(`^${pool}-[0-9]+$`);
      return names.filter((entry) => entry.isDirectory() && numbered.test(entry.name)).map((entry) => parseMachineId(entry.name));
    },
    async prepare(id, { user, password: fresh }) {
      await mkdir(dir(id), { recursive: true, mode: 0o700 });
      const password = await ensurePassword(dir(id), fresh);
      await give(passwordFile(dir(id)), user);
      for (const name of theirs) {
        await mkdir(join(dir(id), name), { recursive: true, mode: 0o700 });
        await give(join(dir(id), name), user);
      }
      return password;
    },
    clear,
    async remove(id) {
      await clear(id);
      await rm(dir(id), { recursive: true, force: true });
    },
    cleared: () => tasks.idle(),
    [Symbol.asyncDispose]: () => tasks[Symbol.asyncDispose](),
  };
}

/**
 * What ran there may have nested directories deeper than a path can be long, and closed them to everybody: so by the system's own
 * program, which needs no whole paths.
 */
async function deleteHostile(path: string): Promise<void> {
  const remove = (): Promise<unknown> => run('rm', ['-rf', '--', path], { maxBuffer: saidBytes });
  await remove().catch(async () => {
    await run('chmod', ['-R', 'u+rwx', '--', path], { maxBuffer: saidBytes }).catch(() => undefined); // some of it may be there no more
    await remove();
  });
}

/** Only root can; another coordinator's machines run as its own user. */
async function give(path: string, user: string): Promise<void> {
  const [uid, gid] = user.split(':').map(Number);
  if (process.getuid?.() === 0) await chown(path, uid ?? 0, gid ?? 0);
}

function unlessMissing(error: unknown): void {
  if (systemCode(error) !== 'ENOENT') throw error;
}

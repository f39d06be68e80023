/** Small files that our programs keep for a person: whole or not at all, and without drafts of those who were killed over them. */
import { mkdir, readdir, rename, rm, writeFile } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import process from 'node:process';
import { systemCode } from '@croft/runtime/errors';

/** Readable by its owner alone. A draft is `FILE.PID.new`, so that several programs may write at once. */
export async function writeOwnFile(path: string, content: string | Uint8Array): Promise<void> {
  const dir = dirname(path);
  await mkdir(dir, { recursive: true, mode: 0o700 });
  await removeForsaken(dir);
  const draft = join(dir, `${basename(path)}.${process.pid}.new`);
  try {
    await writeFile(draft, content, { mode: 0o600 });
    await rename(draft, path);
  } catch (error) {
    await rm(draft, { force: true });
    throw error;
  }
}

async function removeForsaken(dir: string): Promise<void> {
  for (const name of await readdir(dir)) {
    const [, pid] = /\.([1-9]\d{0,9})\.new$/.exec(name) ?? [];
    if (pid !== undefined && !isAlive(Number(pid))) await rm(join(dir, name), { force: true });
  }
}

function isAlive(pid: number): boolean {
  try {
    return process.kill(pid, 0);
  } catch (error) {
    return systemCode(error) === 'EPERM'; // somebody else's
  }
}

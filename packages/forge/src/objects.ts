/** Warm `cat-file` processes of one repository: taken for one reading each, kept a while when idle, ended when not used. */
import { MINUTE, type Clock } from '@croft/runtime/clock';
import { createTaskGroup } from '@croft/runtime/tasks';
import { startCatFile, type CatFile, type GitObject } from './cat-file.ts';

export interface Objects extends AsyncDisposable {
  read(ids: readonly string[]): AsyncGenerator<GitObject | undefined>;
}

const idleMs = MINUTE;
const maxIdle = 2;

export function openObjects(dir: string, env: Readonly<Record<string, string>>, clock: Clock): Objects {
  const idle: { readonly catFile: CatFile; readonly since: number }[] = [];
  const all = new Set<CatFile>();
  const tasks = createTaskGroup(() => undefined);
  const end = async (catFile: CatFile): Promise<void> => {
    all.delete(catFile);
    await catFile[Symbol.asyncDispose]();
  };
  const keep = (catFile: CatFile): void => {
    idle.push({ catFile, since: clock.monotonic() });
    if (tasks.size > 0) return;
    tasks.start('end idle cat-file processes', async (waits) => {
      while (idle.length > 0) {
        await clock.sleep(idleMs, waits);
        const old = idle.filter((entry) => clock.monotonic() - entry.since >= idleMs);
        idle.splice(0, idle.length, ...idle.filter((entry) => !old.includes(entry)));
        for (const entry of old) await end(entry.catFile);
      }
    });
  };
  return {
    async *read(ids) {
      const catFile = idle.pop()?.catFile ?? startCatFile(dir, env);
      all.add(catFile);
      let whole = false;
      try {
        yield* catFile.read(ids);
        whole = true;
      } finally {
        // Left in the middle, its next answer would be the rest of this one.
        if (whole && idle.length < maxIdle) keep(catFile);
        else await end(catFile);
      }
    },
    async [Symbol.asyncDispose]() {
      await tasks[Symbol.asyncDispose]();
      await Promise.all([...all].map(end));
    },
  };
}

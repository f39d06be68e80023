/**
 * Starts commands with posix_spawn(3) and pipe2(2): nothing of our memory is copied, however large it is, and the end is told exactly,
 * with what it used. SIGCHLD says that some child has ended; each of ours is then asked for by its own pid, so that the ends of Node's
 * children are left to Node.
 */
import { closeSync, statSync, accessSync, constants } from 'node:fs';
import { delimiter, join, resolve } from 'node:path';
import type { Clock } from '@croft/runtime/clock';
import { systemCode } from '@croft/runtime/errors';
import type { Command, Exited, Launcher } from './command.ts';
import { loadLibc, type Libc } from './libc.ts';

/** Where the C library looks when there is no PATH. */
const defaultPath = '/bin:/usr/bin';
const shell = '/bin/sh';
/** SIGCHLD comes at once; this also keeps Node from ending while a command of ours runs, of which it knows nothing. */
const askEveryMs = 1_000;

/** Undefined where there is no `node:ffi`, or another C library than we know. Whether it works is told by its self-check. */
export function openSpawnLauncher(clock: Clock): Launcher | undefined {
  const libc = loadLibc();
  if (!libc) return undefined;
  const living = new Map<number, (exited: Exited) => void>();
  const ask = (): void => {
    for (const [pid, tell] of living) {
      const exited = libc.ended(pid);
      if (!exited) continue;
      living.delete(pid);
      tell(exited);
    }
  };
  process.on('SIGCHLD', ask);
  const closing = new AbortController();
  let asking = false;
  const keepAsking = async (): Promise<void> => {
    if (asking) return;
    asking = true;
    for (; living.size > 0; ask()) await clock.sleep(askEveryMs, { signal: closing.signal }).catch(() => living.clear());
    asking = false;
  };
  return {
    way: 'posix_spawn',
    dirs: [],
    async launch(command, born, { signal }) {
      signal.throwIfAborted();
      const file = findProgram(command);
      if (file.code !== undefined) return { kind: 'failed', code: file.code };
      let pipe;
      try {
        pipe = libc.pipe();
      } catch (error) {
        return { kind: 'failed', code: systemCode(error) ?? 'EMFILE', error: error as Error };
      }
      const place = { cwd: command.cwd, env: command.env, outputFd: pipe.writeFd };
      let pid: number | string = 'EIO';
      try {
        pid = born(() => spawnFile(libc, file.path, command, place));
      } finally {
        closeSync(pipe.writeFd);
        if (typeof pid === 'string') closeSync(pipe.readFd);
      }
      if (typeof pid === 'string') return { kind: 'failed', code: pid };
      const exited = new Promise<Exited>((tell) => living.set(pid, tell));
      void keepAsking();
      return { kind: 'started', pid, readFd: pipe.readFd, exited };
    },
    async [Symbol.asyncDispose]() {
      process.removeListener('SIGCHLD', ask);
      closing.abort();
    },
  };
}

/** As execvp(3): what the kernel does not know how to execute is a script for the shell. */
function spawnFile(libc: Libc, path: string, { argv, exact }: Command, place: Parameters<Libc['spawn']>[2]): number | string {
  const pid = libc.spawn(path, argv, place);
  return pid === 'ENOEXEC' && !exact ? libc.spawn(shell, [shell, path, ...argv.slice(1)], place) : pid;
}

/** A name without a slash is the first executable file of that name in PATH. */
function findProgram({ argv: [program], cwd, env }: Command): { path: string; code?: undefined } | { code: string } {
  if (program.includes('/')) return { path: program };
  let code = 'ENOENT';
  if (program === '') return { code };
  for (const dir of (env['PATH'] ?? defaultPath).split(delimiter)) {
    const path = join(resolve(cwd, dir), program);
    try {
      if (!statSync(path).isFile()) continue;
      accessSync(path, constants.X_OK);
      return { path };
    } catch (error) {
      if (systemCode(error) === 'EACCES') code = 'EACCES';
    }
  }
  return { code };
}

/**
 * Starts commands with posix_spawn(3) and pipe2(2): nothing of our memory is copied, however large it is, and the end is told exactly,
 * with what it used. SIGCHLD says that some child has ended; each of ours is then asked for by its own pid, so that the ends of Node's
 * children are left to Node.
 */
import { closeSync } from 'node:fs';
import type { Clock } from '@croft/runtime/clock';
import { systemCode } from '@croft/runtime/errors';
import { findProgram, type Command, type Exited, type Born, type Launched, type Launcher } from './command.ts';
import { loadLibc, type Libc, type LibcOptions } from './libc.ts';

const shell = '/bin/sh';
/** SIGCHLD comes at once; this also keeps Node from ending while a command of ours runs, of which it knows nothing. */
const askEveryMs = 1_000;

/** Undefined where there is no `node:ffi`, or another C library than we know. Whether it works is told by its self-check. */
export function openSpawnLauncher(clock: Clock, options: LibcOptions): Launcher | undefined {
  const libc = loadLibc(options);
  if (!libc) return undefined;
  const living = new Map<number, (exited: Exited) => void>();
  const look = (pid: number): void => {
    const tell = living.get(pid);
    const exited = tell && libc.ended(pid);
    if (!exited) return;
    living.delete(pid);
    tell(exited);
  };
  const ask = (): void => living.forEach((_, pid) => look(pid));
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
      const started = start(libc, file.path, command, born);
      if (typeof started === 'string') return { kind: 'failed', code: started };
      const exited = new Promise<Exited>((tell) => living.set(started.pid, tell));
      void keepAsking();
      return { kind: 'started', exited, look: () => look(started.pid), ...started };
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

type Started = Omit<Extract<Launched, { kind: 'started' }>, 'kind' | 'exited' | 'look'>;

/** The process with our ends of its pipes, or the system's code for why there is none; then no end is left open. */
function start(libc: Libc, path: string, command: Command, born: Born): Started | string {
  const open: number[] = [];
  try {
    const pipe = (): ReturnType<Libc['pipe']> => {
      const ends = libc.pipe();
      open.push(ends.readFd, ends.writeFd);
      return ends;
    };
    const output = pipe();
    const errors = command.ownStderr ? pipe() : undefined;
    const input = command.input ? pipe() : undefined;
    const fds = { inputFd: input?.readFd, outputFd: output.writeFd, errorFd: (errors ?? output).writeFd };
    const place = { cwd: command.cwd, env: command.env, ...fds };
    const pid = born(() => spawnFile(libc, path, command, place));
    if (typeof pid === 'string') return pid;
    const ours = {
      readFd: output.readFd,
      ...(errors ? { stderrFd: errors.readFd } : {}),
      ...(input ? { inputFd: input.writeFd } : {}),
    };
    for (const fd of Object.values(ours)) open.splice(open.indexOf(fd), 1);
    return { pid, ...ours };
  } catch (error) {
    const code = systemCode(error);
    if (code === 'EMFILE') return code;
    throw error;
  } finally {
    for (const fd of open) closeSync(fd);
  }
}

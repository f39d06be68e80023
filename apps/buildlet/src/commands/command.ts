/** What a command is, how it is started, and why it could not be: the same whichever way this machine starts commands. */
import { stat } from 'node:fs/promises';
import { isAbsolute, join } from 'node:path';
import { CroftError, errorText, systemCode } from '@croft/runtime/errors';

export interface Command {
  /** A program with a slash is a path, relative to `cwd` if it is; without one it is looked up in the PATH of `env`. */
  readonly argv: readonly [string, ...string[]];
  readonly cwd: string;
  readonly env: Readonly<Record<string, string>>;
  /** A file that the kernel cannot execute is an error and not a script for `sh`. Only `posix_spawn` can tell. */
  readonly exact?: boolean;
}

export interface Usage {
  /** Processor time of the command and of those descendants that it waited for, ms. */
  readonly cpuMs: number;
  /** The most memory that one process among these had at once, bytes. */
  readonly peakBytes: number;
}

/** How the process itself ended; `code` or `signal` is not null. A signal without a name is `SIG` and its number. */
export interface Exited {
  readonly code: number | null;
  readonly signal: string | null;
  readonly coreDumped?: boolean;
  /** Where the system tells. */
  readonly usage?: Usage;
}

export type Launched =
  | { readonly kind: 'started'; readonly pid: number; readonly exited: Promise<Exited>; readonly readFd: number }
  | { readonly kind: 'failed'; readonly code: string; readonly error?: Error };

/** A way to start commands. */
export interface Launcher extends AsyncDisposable {
  readonly way: 'posix_spawn' | 'fifo';
  /** Directories that it needs for as long as it is used. */
  readonly dirs: readonly string[];
  /**
   * Starts the command in a session of its own, with no input and with one pipe as stdout and stderr; the read end is the caller's. `born`
   * is called with a function that makes the process before it returns.
   * @throws the signal's reason when it is aborted before that
   */
  launch(command: Command, born: Born, waits: { signal: AbortSignal }): Promise<Launched>;
}

export type Born = <T>(start: () => T) => T;

/** Failures that say something about this machine and nothing about the command. */
const machineFailures = ['EAGAIN', 'ENOMEM', 'EMFILE', 'ENFILE', 'EIO'];

/** @throws CroftError `unavailable` when the machine, not the command, is why it did not start */
export function checkMachine({ argv: [program] }: Command, { code, error }: { code: string; error?: Error }): void {
  if (!machineFailures.includes(code)) return;
  throw new CroftError('unavailable', `start "${program}": the machine could not make a process (${code})`, { cause: error });
}

/** Why a directory cannot be worked in; undefined when it can. */
export async function badDirectory(cwd: string, shown: string): Promise<string | undefined> {
  try {
    return (await stat(cwd)).isDirectory() ? undefined : `"${shown}" is not a directory`;
  } catch (error) {
    return systemCode(error) === 'ENOENT' ? `no such directory "${shown}"` : `directory "${shown}": ${errorText(error)}`;
  }
}

/** Why a command did not start, for people. */
export async function explain({ argv: [program], cwd, env }: Command, code: string): Promise<string> {
  if (code === 'E2BIG') return 'the arguments and the environment are longer than this system allows';
  if (code === 'EACCES') return `"${program}" is not executable`;
  if (code !== 'ENOENT') return `"${program}": ${code}`;
  if (!program.includes('/')) return `no program "${program}" in PATH (${env['PATH'] ?? ''})`;
  const path = isAbsolute(program) ? program : join(cwd, program);
  const there = await stat(path).then(
    () => true,
    () => false,
  );
  return there ? `the interpreter that "${program}" names in its first line does not exist` : `no such program "${program}"`;
}

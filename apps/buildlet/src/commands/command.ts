/** What a command is, how it is started, and why it could not be: the same whichever way this machine starts commands. */
import { accessSync, constants as access, statSync } from 'node:fs';
import { stat } from 'node:fs/promises';
import type { OnReadOpts, Socket } from 'node:net';
import { constants } from 'node:os';
import { delimiter, isAbsolute, join, resolve } from 'node:path';
import { CroftError, errorText, systemCode } from '@croft/runtime/errors';

export interface Command {
  /** A program with a slash is a path, relative to `cwd` if it is; without one it is looked up in the PATH of `env`. */
  readonly argv: readonly [string, ...string[]];
  readonly cwd: string;
  readonly env: Readonly<Record<string, string>>;
  /** A pipe as stdin instead of the null device. */
  readonly input?: boolean | undefined;
  /** A pipe of its own as stderr, instead of the one that is stdout. */
  readonly ownStderr?: boolean | undefined;
  /** A terminal as stdin, stdout and stderr instead of pipes. */
  readonly terminal?: TerminalSize | undefined;
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

export interface TerminalSize {
  readonly cols: number;
  readonly rows: number;
}

export interface Terminal {
  /** Reads what is shown, and writes what is typed. Call once. */
  open(onread: OnReadOpts): Socket;
  resize(size: TerminalSize): void;
}

/** Where the output of a command is read: the read end of its pipe, or its terminal. */
export type OutputSource = number | Pick<Terminal, 'open'>;

export interface Process {
  readonly pid: number;
  readonly exited: Promise<Exited>;
  /** There is reason to think that it has ended: does not wait until the system tells. */
  look?(): void;
}

export type Launched =
  | (Process & {
      readonly kind: 'started';
      readonly readFd: number;
      /** The read end of its standard error, where it has one of its own. */
      readonly stderrFd?: number;
      /** The write end of its input, where asked for. */
      readonly inputFd?: number;
    })
  | { readonly kind: 'failed'; readonly code: string; readonly error?: Error };

/** A way to start commands. */
export interface Launcher extends AsyncDisposable {
  readonly way: 'posix_spawn' | 'fifo';
  /** Directories that it needs for as long as it is used. */
  readonly dirs: readonly string[];
  /**
   * Starts the command in a process group of its own, in a session of its own where that was asked for, with no input and with one pipe as stdout and stderr unless
   * it asks for more; our ends are the caller's. `born` is called with a function that makes the process before it returns.
   * @throws the signal's reason when it is aborted before that
   */
  launch(command: Command, born: Born, waits: { signal: AbortSignal }): Promise<Launched>;
}

export type Born = <T>(start: () => T) => T;

/** A signal has several names at times; the first one in the system's order is what Node says, too. */
const signalNames = new Map(
  Object.entries(constants.signals)
    .toReversed()
    .map(([name, number]) => [number, name]),
);

export function signalName(number: number): string {
  return signalNames.get(number) ?? `SIG${number}`;
}

/** Failures that say something about this machine and nothing about the command. */
const machineFailures = ['EAGAIN', 'ENOMEM', 'EMFILE', 'ENFILE', 'EIO'];

/** @throws CroftError `unavailable` when the machine, not the command, is why it did not start */
export function checkMachine({ argv: [program] }: Command, { code, error }: { code: string; error?: Error }): void {
  if (!machineFailures.includes(code)) return;
  throw new CroftError('unavailable', `start "${program}": the machine could not make a process (${code})`, { cause: error });
}

/** Where the C library looks when there is no PATH. */
export const defaultPath = '/bin:/usr/bin';

/** A name without a slash is the first executable file of that name in the command's PATH. */
export function findProgram({ argv: [program], cwd, env }: Command): { path: string; code?: undefined } | { code: string } {
  if (program.includes('/')) return { path: program };
  let code = 'ENOENT';
  if (program === '') return { code };
  for (const dir of (env['PATH'] ?? defaultPath).split(delimiter)) {
    const path = join(resolve(cwd, dir), program);
    try {
      if (!statSync(path).isFile()) continue;
      accessSync(path, access.X_OK);
      return { path };
    } catch (error) {
      if (systemCode(error) === 'EACCES') code = 'EACCES';
    }
  }
  return { code };
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

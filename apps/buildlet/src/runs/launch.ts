/**
 * Starts a command and tells exactly whether it started: whatever fails before its first instruction is `not-started`, and an
 * exit code 126 or 127 is the command's own.
 */
import { spawn, type ChildProcess } from 'node:child_process';
import { stat } from 'node:fs/promises';
import { isAbsolute, join } from 'node:path';
import { CroftError, errorText, systemCode } from '@croft/runtime/errors';

export interface Command {
  readonly argv: readonly [string, ...string[]];
  readonly cwd: string;
  readonly env: Readonly<Record<string, string>>;
}

export interface Exited {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
}

export type Launched =
  | { readonly kind: 'started'; readonly child: ChildProcess & { readonly pid: number }; readonly exited: Promise<Exited> }
  | { readonly kind: 'not-started'; readonly reason: string };

/** Failures that say something about this machine and nothing about the command. */
const machineFailures = ['EAGAIN', 'ENOMEM', 'EMFILE', 'ENFILE', 'EIO'];

/**
 * Starts the command in a session of its own with `outputFd` as stdout and stderr. The fork happens before this returns.
 * @throws CroftError `unavailable` when the machine, not the command, is why it did not start
 */
export function spawnCommand({ argv, cwd, env }: Command, outputFd: number): ChildProcess | Error {
  try {
    const [program, ...args] = argv;
    return spawn(program, args, { cwd, env: { ...env }, detached: true, stdio: ['ignore', outputFd, outputFd] });
  } catch (error) {
    return error as Error;
  }
}

/** Waits until it is known whether the spawn worked. */
export async function launched(command: Command, child: ChildProcess | Error): Promise<Launched> {
  if (child instanceof Error) return { kind: 'not-started', reason: await explain(command, child) };
  const exited = new Promise<Exited>((resolve) => child.once('exit', (code, signal) => resolve({ code, signal })));
  if (child.pid !== undefined) {
    child.on('error', () => {}); // a signal that could not be sent is told to its sender
    return { kind: 'started', child: child as ChildProcess & { readonly pid: number }, exited };
  }
  const error = await new Promise<Error>((resolve) => child.once('error', resolve));
  return { kind: 'not-started', reason: await explain(command, error) };
}

/** Why a directory cannot be worked in; undefined when it can. */
export async function badDirectory(cwd: string, shown: string): Promise<string | undefined> {
  try {
    return (await stat(cwd)).isDirectory() ? undefined : `"${shown}" is not a directory`;
  } catch (error) {
    return systemCode(error) === 'ENOENT' ? `no such directory "${shown}"` : `directory "${shown}": ${errorText(error)}`;
  }
}

async function explain({ argv: [program], cwd, env }: Command, error: Error): Promise<string> {
  const code = systemCode(error) ?? '';
  if (machineFailures.includes(code)) {
    throw new CroftError('unavailable', `start "${program}": the machine could not make a process`, { cause: error });
  }
  if (code === 'E2BIG') return 'the arguments and the environment are longer than this system allows';
  if (code === 'EACCES') return `"${program}" is not executable`;
  if (code !== 'ENOENT') return `"${program}": ${errorText(error)}`;
  if (!program.includes('/')) return `no program "${program}" in PATH (${env['PATH'] ?? ''})`;
  const path = isAbsolute(program) ? program : join(cwd, program);
  const there = await stat(path).then(
    () => true,
    () => false,
  );
  return there ? `the interpreter that "${program}" names in its first line does not exist` : `no such program "${program}"`;
}

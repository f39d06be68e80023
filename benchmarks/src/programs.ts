/** Other programs, run to their end: what a row prepares with git and measures beside Croft. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { text } from 'node:stream/consumers';
import { CroftError } from '@croft/runtime/errors';

export interface ProgramOptions {
  readonly signal: AbortSignal;
  readonly cwd?: string;
  readonly env?: Readonly<Record<string, string>>;
  readonly input?: string | Uint8Array;
}

/** Its standard output. An abort ends its whole process group. @throws CroftError `unavailable` unless it exits with 0 */
export async function runProgram(argv: readonly [string, ...string[]], { signal, cwd, env, input }: ProgramOptions): Promise<string> {
  signal.throwIfAborted();
  const [program, ...args] = argv;
  const child = spawn(program, args, { cwd, env: { ...process.env, ...env }, stdio: 'pipe', detached: true });
  const stop = (): void => void (child.pid && killGroup(child.pid));
  signal.addEventListener('abort', stop, { once: true });
  try {
    child.stdin.on('error', () => undefined); // it may end without reading
    child.stdin.end(input);
    const [out, complaint, [code]] = await Promise.all([text(child.stdout), text(child.stderr), once(child, 'close')]);
    signal.throwIfAborted();
    if (code !== 0) throw new CroftError('unavailable', `${program} ended with ${code}: ${complaint.trim().slice(-2_000)}`);
    return out;
  } finally {
    signal.removeEventListener('abort', stop);
  }
}

/** Ends what is left of a group that was started detached. */
export function killGroup(leader: number): void {
  try {
    process.kill(-leader, 'SIGKILL');
  } catch {
    // nothing is left
  }
}

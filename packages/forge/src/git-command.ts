/**
 * The `git` program: argument arrays, an environment and settings of our own, a deadline and an output limit on every call.
 * Neither the settings of the person who started the farm nor hooks nor transport programs have a say.
 */
import { spawn, type ChildProcessByStdio } from 'node:child_process';
import fs from 'node:fs';
import { dirname, join } from 'node:path';
import type { Readable, Writable } from 'node:stream';
import { anySignal, MINUTE, type Clock, type Waits } from '@croft/runtime/clock';
import { CroftError, systemCode } from '@croft/runtime/errors';
import { redacted } from './repository-url.ts';

export interface GitCall extends Waits {
  readonly args: readonly string[];
  /** Given to stdin. */
  readonly input?: string | Buffer;
  /** Added to the environment, for settings that must not be seen on a command line. */
  readonly env?: Readonly<Record<string, string>>;
  readonly limitMs?: number;
  readonly maxBytes?: number;
  /** Told the process id as soon as there is one. */
  onStart?(pid: number): void;
}

export interface GitResult {
  readonly code: number;
  readonly stdout: Buffer;
  /** The end of it, without credentials. */
  readonly stderr: string;
}

export type GitChild = ChildProcessByStdio<Writable, Readable, Readable>;

export interface Git {
  /** An exit code other than 0 is a result. @throws CroftError `timeout`, `exhausted` (output), `unavailable` (no git) */
  call(call: GitCall): Promise<GitResult>;
  /** As `call`, but an exit code other than 0 is a failure. @throws CroftError `internal` with what git said */
  run(call: GitCall): Promise<Buffer>;
  /** A process that the caller owns and must kill with `killTree`. */
  start(args: readonly string[], env?: Readonly<Record<string, string>>): GitChild;
}

export interface GitOptions {
  /** A directory of ours for settings and as HOME. */
  readonly gitHome: string;
  readonly clock: Clock;
  /** Where `git` and `ssh` are found. */
  readonly path?: string | undefined;
}

const usualPath = '/usr/local/bin:/usr/bin:/bin:/opt/homebrew/bin';
const usualLimitMs = 2 * MINUTE;
const usualMaxBytes = 64 * 1024 * 1024;
const stderrBytes = 8 * 1024;

export function openGit({ gitHome, clock, path = usualPath }: GitOptions): Git {
  const env = prepareHome(gitHome, path);
  const start: Git['start'] = (args, more = {}) =>
    spawn('git', args, { cwd: gitHome, env: { ...env, ...more }, stdio: ['pipe', 'pipe', 'pipe'], detached: true });
  const call: Git['call'] = async ({ signal, limitMs = usualLimitMs, ...request }) => {
    const deadline = clock.deadline(limitMs);
    return finished(start(request.args, request.env), { ...request, signal: anySignal(signal, deadline) });
  };
  return {
    call,
    start,
    async run(request) {
      const { code, stdout, stderr } = await call(request);
      if (code !== 0) throw new CroftError('internal', `${verbOf(request.args)}: ${stderr || `exit code ${code}`}`);
      return stdout;
    },
  };
}

/** Kills a process made by `start` and everything it started. */
export function killTree(child: { readonly pid?: number | undefined }): void {
  if (child.pid === undefined) return;
  try {
    process.kill(-child.pid, 'SIGKILL');
  } catch (error) {
    if (systemCode(error) !== 'ESRCH') throw error;
  }
}

/** Writes the settings, at once and whole: other calls may be reading them. */
function prepareHome(gitHome: string, path: string): Record<string, string> {
  const hooks = join(gitHome, 'no-hooks');
  const config = join(gitHome, 'gitconfig');
  fs.mkdirSync(hooks, { recursive: true, mode: 0o700 });
  fs.writeFileSync(`${config}.new`, settings(hooks));
  fs.renameSync(`${config}.new`, config);
  return {
    PATH: path,
    HOME: gitHome,
    LC_ALL: 'C',
    GIT_CONFIG_GLOBAL: config,
    GIT_CONFIG_NOSYSTEM: '1',
    GIT_DEFAULT_REF_FORMAT: 'files',
    GIT_CEILING_DIRECTORIES: dirname(gitHome),
    GIT_NO_REPLACE_OBJECTS: '1',
    GIT_OPTIONAL_LOCKS: '0',
    GIT_SSH_COMMAND: 'ssh -o BatchMode=yes -o ConnectTimeout=20',
    GIT_TERMINAL_PROMPT: '0',
  };
}

/** Nothing is ever pruned: a commit that was pushed over may still have to be built. */
function settings(hooks: string): string {
  const allowed = ['https', 'http', 'ssh', 'git', 'file'].map((name) => `[protocol "${name}"]\n\tallow = always\n`);
  return `[core]
	hooksPath = "${hooks.replace(/["\\]/g, '\\$&')}"
	fsmonitor = false
[safe]
	directory = *
[protocol]
	allow = never
[protocol "ext"]
	allow = never
${allowed.join('')}[credential]
	helper =
[gc]
	autoDetach = false
	pruneExpire = never
[maintenance]
	auto = false
[http]
	lowSpeedLimit = 1000
	lowSpeedTime = 60
[i18n]
	logOutputEncoding = UTF-8
[log]
	showSignature = false
`;
}

type Request = Omit<GitCall, 'limitMs' | 'signal'> & { readonly signal: AbortSignal };

async function finished(child: GitChild, { args, input, signal, onStart, maxBytes = usualMaxBytes }: Request): Promise<GitResult> {
  const abort = (): void => killTree(child);
  signal.addEventListener('abort', abort, { once: true });
  const output: Buffer[] = [];
  let size = 0;
  let stderr: Buffer = Buffer.alloc(0);
  child.stdout.on('data', (chunk: Buffer) => {
    size += chunk.length;
    if (size > maxBytes) killTree(child);
    else output.push(chunk);
  });
  child.stderr.on('data', (chunk: Buffer) => {
    stderr = Buffer.concat([stderr, chunk]).subarray(-stderrBytes);
  });
  // git may end without reading its input; its exit code tells.
  child.stdin.on('error', () => undefined);
  const { promise, resolve, reject } = Promise.withResolvers<number | null>();
  child.once('error', reject);
  child.once('close', resolve);
  try {
    if (child.pid !== undefined) onStart?.(child.pid);
    child.stdin.end(input);
    if (signal.aborted) abort();
    const code = await promise.catch((error: unknown) => {
      throw new CroftError('unavailable', `${verbOf(args)}: the program did not start`, {
        cause: error,
        hint: 'Install git 2.32 or newer.',
      });
    });
    if (signal.aborted) throw failureOf(signal, args);
    if (size > maxBytes) throw new CroftError('exhausted', `${verbOf(args)}: more than ${maxBytes} bytes of output`);
    const ended = code === null ? 'it was killed' : '';
    return { code: code ?? -1, stdout: Buffer.concat(output, size), stderr: redacted(stderr.toString('utf8').trim()) || ended };
  } finally {
    signal.removeEventListener('abort', abort);
  }
}

function failureOf({ reason }: AbortSignal, args: readonly string[]): unknown {
  const late = reason instanceof Error && reason.name === 'TimeoutError';
  return late ? new CroftError('timeout', `${verbOf(args)}: took too long and was ended`, { cause: reason }) : reason;
}

function verbOf(args: readonly string[]): string {
  return `git ${args.find((arg) => !arg.startsWith('-')) ?? ''}`.trim();
}

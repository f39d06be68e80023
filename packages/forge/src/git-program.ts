/**
 * The `git` program with argument arrays, an environment of our own and a deadline on every call. The operator's own git settings
 * do not count: what a mirror holds must not depend on who started the farm.
 */
import { spawn } from 'node:child_process';
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { MINUTE, anySignal, type Clock, type Waits } from '@croft/runtime/clock';
import { CroftError, systemCode } from '@croft/runtime/errors';
import { redactUrl } from './repo-url.ts';

export interface GitCall extends Waits {
  /** The repository; absent for calls that make one. */
  readonly dir?: string;
  readonly timeoutMs?: number;
  /** More output than this is an error, bytes. */
  readonly maxBytes?: number;
}

export interface GitProgram {
  readonly env: Readonly<Record<string, string>>;
  /** @returns what it wrote to stdout. @throws CroftError `unavailable` with git's own words when it fails, `timeout`, `exhausted` */
  run(args: readonly string[], call: GitCall): Promise<Buffer>;
}

const settings = `[safe]
	directory = *
[core]
	hooksPath = /dev/null
	fsmonitor = false
[protocol "ext"]
	allow = never
[transfer]
	fsckObjects = false
[gc]
	autoDetach = false
[maintenance]
	auto = false
[advice]
	detachedHead = false
`;

const defaultTimeoutMs = 2 * MINUTE;
const defaultMaxBytes = 256 * 1024 * 1024;
const maxErrorBytes = 16 * 1024;

/** @param home a directory of ours: git's home, with a settings file that is written anew. */
export async function openGit({ home, path, clock }: { home: string; path: string; clock: Clock }): Promise<GitProgram> {
  await mkdir(home, { recursive: true, mode: 0o700 });
  const config = join(home, 'gitconfig');
  await writeFile(config, settings);
  const env = {
    PATH: path,
    HOME: home,
    LC_ALL: 'C',
    GIT_CONFIG_NOSYSTEM: '1',
    GIT_CONFIG_GLOBAL: config,
    GIT_TERMINAL_PROMPT: '0',
    GIT_OPTIONAL_LOCKS: '0',
    GIT_ASKPASS: '/bin/false',
    GIT_SSH_COMMAND: 'ssh -oBatchMode=yes',
  };
  return {
    env,
    run: (args, { dir, timeoutMs = defaultTimeoutMs, maxBytes = defaultMaxBytes, signal }) =>
      runGit(dir === undefined ? args : ['--git-dir', dir, ...args], { env, maxBytes, signal: anySignal(signal, clock.deadline(timeoutMs)) }),
  };
}

async function runGit(args: readonly string[], { env, maxBytes, signal }: { env: Record<string, string>; maxBytes: number; signal: AbortSignal }): Promise<Buffer> {
  const child = spawn('git', args, { env, stdio: ['ignore', 'pipe', 'pipe'], signal, killSignal: 'SIGKILL' });
  const output: Buffer[] = [];
  const complaints: Buffer[] = [];
  let size = 0;
  child.stdout.on('data', (chunk: Buffer) => {
    size += chunk.length;
    if (size > maxBytes) child.kill('SIGKILL');
    else output.push(chunk);
  });
  child.stderr.on('data', (chunk: Buffer) => {
    complaints.push(chunk);
    if (complaints.reduce((total, part) => total + part.length, 0) > maxErrorBytes) complaints.shift();
  });
  const verb = args.find((arg) => /^[a-z]/.test(arg) && !arg.includes('/')) ?? '';
  const code = await new Promise<number | null>((resolve, reject) => {
    child.once('error', reject);
    child.once('close', resolve);
  }).catch((error: unknown) => {
    if (signal.aborted) throw abortFailure(signal, verb);
    const hint = systemCode(error) === 'ENOENT' ? 'Install git; Croft needs it in PATH.' : undefined;
    throw new CroftError('unavailable', `git ${verb} could not be started`, { cause: error, hint });
  });
  if (size > maxBytes) throw new CroftError('exhausted', `git ${verb} wrote more than ${maxBytes} bytes`);
  if (code === 0) return Buffer.concat(output, size);
  throw new CroftError('unavailable', `git ${verb}: ${redactUrl(Buffer.concat(complaints).toString('utf8').trim())}`);
}

function abortFailure(signal: AbortSignal, verb: string): unknown {
  const timedOut = signal.reason instanceof Error && signal.reason.name === 'TimeoutError';
  return timedOut ? new CroftError('timeout', `git ${verb} took too long`, { cause: signal.reason }) : signal.reason;
}

/** A farm with an SSH door and a session on its only machine, and the stock clients with which people enter it. */
import { execFile, spawn, type ChildProcessWithoutNullStreams } from 'node:child_process';
import { mkdtempDisposable, readFile, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import type { ConfigInput } from '@croft/config/define-config';
import type { SessionView } from '@croft/protocol/sessions';
import type { SshDoor } from '@croft/protocol/ssh';
import { MINUTE, SECOND, systemClock } from '@croft/runtime/clock';
import { freePort } from '@croft/runtime/testing';
import { makeRepo } from './testing-repo.ts';
import { startFarm, type TestFarm } from './testing.ts';

export interface Ended {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

export interface SshFarm extends AsyncDisposable {
  readonly farm: TestFarm;
  readonly port: number;
  /** Of its own: keys, what clients write. */
  readonly dir: string;
  /** As a user name. */
  readonly session: string;
  readonly key: string;
  /** For OpenSSH's programs. */
  readonly options: readonly string[];
  ssh(args: readonly string[], input?: string): Promise<Ended>;
  start(args: readonly string[]): ChildProcessWithoutNullStreams;
}

export const sshHost = '127.0.0.1';
const runMs = 2 * MINUTE;
const execFileOf = promisify(execFile);

export interface SshFarmOptions {
  /** The builder's. */
  readonly env?: Readonly<Record<string, string>>;
  /** What it has else, or otherwise; its builder is `box`. */
  readonly config?: Partial<ConfigInput>;
  readonly hostType?: string;
  /** Starts the machine, of a farm that has none by itself. */
  machine?(farm: TestFarm): Promise<AsyncDisposable>;
  /** Starts the farm. */
  open?(config: Partial<ConfigInput>): Promise<AsyncDisposable & { readonly farm: TestFarm }>;
}

export async function startSshFarm({ env = {}, config = {}, hostType, machine, open = openPlain }: SshFarmOptions = {}): Promise<SshFarm> {
  await using stack = new AsyncDisposableStack();
  const { path: dir } = stack.use(await mkdtempDisposable(join(tmpdir(), 'croft-ssh-')));
  const repo = stack.use(await makeRepo({ README: 'a tool' }));
  const port = await freePort();
  const step = { name: 'nothing', argv: ['true'] };
  const { farm } = stack.use(
    await open({
      ssh: { port },
      repos: [{ name: 'tool', url: repo.dir, depth: 1, pollMs: 'never' }],
      builders: [{ name: 'box', repo: 'tool', hostType, env, steps: [step] }],
      pools: [{ kind: 'local', size: 1 }],
      ...config,
    }),
  );
  if (machine) stack.use(await machine(farm));
  const key = join(dir, 'id');
  await execFileOf('ssh-keygen', ['-q', '-t', 'ed25519', '-N', '', '-f', key]);
  await farm.api('POST', '/api/v1/me/ssh-keys', { key: await readFile(`${key}.pub`, 'utf8') });
  const { knownHosts } = await farm.api<SshDoor>('GET', '/api/v1/ssh');
  await writeFile(join(dir, 'known'), knownHosts);
  const { id } = await farm.api<SessionView>('POST', '/api/v1/sessions', { builder: 'box' });
  const active = await farm.waitFor('an active session', async () => {
    const session = await farm.api<SessionView>('GET', `/api/v1/sessions/${id}`);
    return session.state === 'active' && session;
  });
  const quiet = ['BatchMode=yes', 'IdentitiesOnly=yes', 'LogLevel=ERROR', `UserKnownHostsFile=${dir}/known`].flatMap((one) => ['-o', one]);
  const options = ['-F', 'none', '-i', key, ...quiet];
  const argsOf = (args: readonly string[]): string[] => [...options, '-p', String(port), ...args];
  const owned = stack.move();
  return {
    farm,
    port,
    dir,
    session: active.alias,
    key,
    options,
    ssh: (args, input) => runProgram('ssh', argsOf(args), input),
    start: (args) => spawn('ssh', argsOf(args)),
    [Symbol.asyncDispose]: () => owned.disposeAsync(),
  };
}

async function openPlain(config: Partial<ConfigInput>): Promise<AsyncDisposable & { readonly farm: TestFarm }> {
  const farm = await startFarm({ config });
  return { farm, [Symbol.asyncDispose]: () => farm[Symbol.asyncDispose]() };
}

/** A program's end, whatever it is. */
export function runProgram(
  program: string,
  args: readonly string[],
  input = '',
  env: Readonly<Record<string, string>> = {},
): Promise<Ended> {
  const { promise, resolve } = Promise.withResolvers<Ended>();
  const options = { signal: systemClock.deadline(runMs), maxBuffer: 64 * 1024 * 1024 };
  const variables = Object.entries(env).map(([name, value]) => `${name}=${value}`);
  const child = execFile('env', [...variables, program, ...args], options, (error, stdout, stderr) => {
    resolve({ code: error ? (typeof error.code === 'number' ? error.code : -1) : 0, stdout, stderr });
  });
  child.stdin?.on('error', () => undefined).end(input);
  return promise;
}

export interface Terminal extends Disposable {
  until(text: string | RegExp): Promise<string>;
  type(text: string): void;
  readonly ended: Promise<number | null>;
}

const showMs = 30 * SECOND;

/** A client that has a terminal of the size that `script` gives it. */
export function openTerminal({ options, port }: SshFarm, user: string, { cols, rows }: { cols: number; rows: number }): Terminal {
  const line = ['ssh', ...options, '-tt', '-p', String(port), `${user}@${sshHost}`].map((word) => `'${word}'`).join(' ');
  const client = spawn('env', ['TERM=xterm-256color', 'script', '-qfec', `stty cols ${cols} rows ${rows}; exec ${line}`, '/dev/null']);
  let shown = '';
  let told = Promise.withResolvers<void>();
  client.stdout.setEncoding('utf8').on('data', (text: string) => {
    shown += text;
    told.resolve();
    told = Promise.withResolvers();
  });
  const ended = new Promise<number | null>((resolve) => client.once('close', resolve));
  return {
    async until(text) {
      const deadline = systemClock.deadline(showMs);
      const over = new Promise<void>((resolve) => deadline.addEventListener('abort', () => resolve(), { once: true }));
      for (;;) {
        if (typeof text === 'string' ? shown.includes(text) : text.test(shown)) return shown;
        if (deadline.aborted) throw new Error(`${String(text)} never came: ${JSON.stringify(shown)}`);
        await Promise.race([told.promise, over, ended]);
        if (client.exitCode !== null && !(typeof text === 'string' ? shown.includes(text) : text.test(shown)))
          throw new Error(`the client ended without ${String(text)}: ${JSON.stringify(shown)}`);
      }
    },
    type: (text) => void client.stdin.write(text),
    ended,
    [Symbol.dispose]: () => void client.kill('SIGKILL'),
  };
}

/** A real buildlet process in a fresh directory, for tests: started, killed, started again over the same directory. */
import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { chown, mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { systemClock } from '@croft/runtime/clock';
import { systemRandom } from '@croft/runtime/random';
import { createBuildlet } from './client.ts';
import type { BuildletAddress } from './address.ts';
import type { KeyPair } from './key-pair.ts';

/** The sources on this Node, unless a test of the bundle names another program (`[NODE, FILE]` as JSON). */
const command = readCommand(process.env['CROFT_TEST_BUILDLET']);
const startWithinMs = 20_000;
const endWithinMs = 20_000;

export interface TestBuildletOptions {
  readonly orphanedAfterMs?: number | undefined;
  readonly spoolLimitBytes?: number | undefined;
  readonly lowWaterBytes?: number | undefined;
  /** Added to its environment. */
  readonly env?: Readonly<Record<string, string>> | undefined;
  /** Where it works instead of a fresh directory; not removed at the end. */
  readonly dir?: string | undefined;
  /** `host:port` instead of a Unix socket. */
  readonly listen?: string | undefined;
  /** TLS with this key, which clients pin. */
  readonly keyPair?: KeyPair | undefined;
  /** Certificate and key (PEM) that it shows on TCP. */
  readonly tls?: { readonly cert: string; readonly key: string } | undefined;
  /** The user (and group) to run as, for root. */
  readonly uid?: number | undefined;
  /** A program and its arguments that start it in their own place, as `unshare` does. */
  readonly inside?: readonly string[] | undefined;
  /** Further flags. */
  readonly flags?: readonly string[] | undefined;
}

export interface TestBuildlet extends AsyncDisposable {
  readonly address: BuildletAddress;
  readonly pid: number;
  /** Holds `work`, `state`, `log` and, mode 0700 as a whole, the socket. */
  readonly dir: string;
  readonly workDir: string;
  /** Its log so far. */
  log(): Promise<string>;
  /** Ends it with SIGKILL and waits until it is gone; its commands are left to the next one. */
  kill9(): Promise<void>;
  /** Starts another one over the same directory; the old one must be gone. */
  restart(): Promise<void>;
  /** Waits until it has ended by itself or by a signal; its exit code or signal. */
  ended(): Promise<number | NodeJS.Signals>;
}

/** Resolves when it serves. Disposal ends it with SIGTERM, as a command's owner would, and removes the directory. */
export async function startTestBuildlet(options: TestBuildletOptions = {}): Promise<TestBuildlet> {
  const dir = options.dir ?? (await mkdtemp(join(tmpdir(), 'croft-buildlet-')));
  const password = systemRandom.hex(16);
  if (options.uid !== undefined) await chown(dir, options.uid, options.uid);
  let child = launch(dir, password, options);
  let address = await serving(child, dir, password, options).catch(async (error: unknown) => {
    child.kill('SIGKILL');
    await exitOf(child);
    if (options.dir === undefined) await rm(dir, { recursive: true, force: true });
    throw error;
  });
  const restart = async (): Promise<void> => {
    child = launch(dir, password, options);
    address = await serving(child, dir, password, options);
  };
  return {
    get address() {
      return address;
    },
    get pid() {
      return child.pid ?? 0;
    },
    dir,
    workDir: join(dir, 'work'),
    log: () => readFile(join(dir, 'log'), 'utf8'),
    async kill9() {
      child.kill('SIGKILL');
      await exitOf(child);
    },
    restart,
    ended: () => exitOf(child),
    async [Symbol.asyncDispose]() {
      if (isGone(child)) await restart(); // ends what the last one left running
      child.kill('SIGTERM');
      await exitOf(child);
      if (options.dir === undefined) await rm(dir, { recursive: true, force: true });
    },
  };
}

function launch(dir: string, password: string, options: TestBuildletOptions): ChildProcess {
  const flag = (name: string, value: number | undefined): string[] => (value === undefined ? [] : [`--${name}=${value}`]);
  const args = [
    `-workdir=${join(dir, 'work')}`,
    `--state-dir=${join(dir, 'state')}`,
    `--log-file=${join(dir, 'log')}`,
    `-listen=${options.listen ?? `unix:${join(dir, 'socket')}`}`,
    ...flag('orphaned-after', options.orphanedAfterMs),
    ...flag('spool-limit', options.spoolLimitBytes),
    ...flag('low-water', options.lowWaterBytes ?? 0),
    ...(options.flags ?? []),
  ];
  const { tls } = options;
  const secured = tls && { META_tls_cert: tls.cert, META_tls_key: tls.key };
  const env = { ...process.env, ...options.env, ...secured, META_password: password };
  const [program, ...first] = [...(options.inside ?? []), ...command] as [string, ...string[]];
  const { uid } = options;
  const user = uid === undefined ? {} : { uid, gid: uid };
  return spawn(program, [...first, ...args], { ...user, env, detached: true, stdio: ['ignore', 'ignore', 'pipe'] });
}

async function serving(child: ChildProcess, dir: string, password: string, options: TestBuildletOptions): Promise<BuildletAddress> {
  let complaint = '';
  child.stderr?.on('data', (chunk: Buffer) => (complaint += chunk.toString()));
  const deadline = systemClock.deadline(startWithinMs);
  for (;;) {
    if (isGone(child)) throw new Error(`the buildlet ended at its start: ${complaint}`);
    const address = await addressOf(child.pid, dir, password, options);
    if (address) {
      await using client = createBuildlet(address, { clock: systemClock });
      const pid = await client.status({ signal: deadline }).then(
        (status) => status.Croft?.pid,
        () => undefined,
      );
      if (pid === child.pid) return address;
    }
    await systemClock.sleep(5, { signal: deadline });
  }
}

/** A free port is known from the log only. */
async function addressOf(
  pid: number | undefined,
  dir: string,
  password: string,
  { listen, tls }: TestBuildletOptions,
): Promise<BuildletAddress | undefined> {
  if (listen === undefined) return { socketPath: join(dir, 'socket'), password };
  const log = await readFile(join(dir, 'log'), 'utf8').catch(() => '');
  const ready = log.split('\n').findLast((line) => line.includes('buildlet ready') && line.includes(`"pid":${pid}`));
  const [, host, port] = /"address":"([^"]*):(\d+)"/.exec(ready ?? '') ?? [];
  return host === undefined ? undefined : { host, port: Number(port), password, tls: tls && { pinned: tls.cert } };
}

function readCommand(text: string | undefined): readonly [string, ...string[]] {
  if (text !== undefined) return JSON.parse(text) as [string, ...string[]];
  return [process.execPath, fileURLToPath(new URL('../../../apps/buildlet/src/main.ts', import.meta.url))];
}

function isGone(child: ChildProcess): boolean {
  return child.exitCode !== null || child.signalCode !== null;
}

async function exitOf(child: ChildProcess): Promise<number | NodeJS.Signals> {
  if (!isGone(child)) await once(child, 'exit', { signal: systemClock.deadline(endWithinMs) });
  return child.exitCode ?? child.signalCode ?? 0;
}

/** A real farm for end-to-end tests: its programs as child processes over a fresh data directory, killed and started again at will. */
import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { writeFileSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { fileURLToPath } from 'node:url';
import type { ConfigInput } from '@croft/config/define-config';
import { MINUTE, SECOND, systemClock } from '@croft/runtime/clock';
import { killAll, processesOf } from './testing-processes.ts';
import { until } from './testing-waiting.ts';

export interface FarmOptions {
  /** Path of the repository that `npm start -- --repo` farms. */
  readonly repo?: string | undefined;
  /** Starts it through npm, as people do. */
  readonly npm?: boolean | undefined;
  /** Starts it again by itself when something in this directory changes. */
  readonly watch?: string | undefined;
  /** Further options of that program. */
  readonly args?: readonly string[] | undefined;
  /** Starts the coordinator with this configuration instead; the data directory and a free port are filled in. */
  readonly config?: Partial<ConfigInput> | undefined;
  /** Where it keeps everything instead of a fresh directory; not removed at the end. */
  readonly dataDir?: string | undefined;
  /** Added to the environment; undefined takes a name away. */
  readonly env?: Readonly<Record<string, string | undefined>> | undefined;
}

export interface Waiting {
  readonly deadlineMs?: number | undefined;
}

export interface TestFarm extends AsyncDisposable {
  /** The same after a restart. */
  readonly url: string;
  /** Of the program last started; it leads a process group of its own, as under a terminal. */
  readonly pid: number;
  readonly dataDir: string;
  /** JSON of one request to `path`. @throws Error with status and body when it is refused */
  api<T>(method: string, path: string, body?: unknown): Promise<T>;
  /** Asks until the answer is neither false nor undefined; a farm that is down for the moment has not answered yet. */
  waitFor<T>(what: string, probe: () => T | Promise<T>, waiting?: Waiting): Promise<NonNullable<Exclude<T, false>>>;
  /** Kills the coordinator alone and waits until it is gone. */
  kill9(): Promise<void>;
  /** Sends the signal and waits until the program is gone; its exit code, or the signal that killed it. */
  stop(signal: NodeJS.Signals): Promise<number | NodeJS.Signals>;
  /** What a terminal does on Ctrl-C: SIGINT to everything in the foreground. */
  ctrlC(): Promise<number | NodeJS.Signals>;
  /** What a terminal does when its window is closed: SIGHUP to everything in the foreground. */
  hangUp(): Promise<number | NodeJS.Signals>;
  /** The same program over the same data and port, once more. */
  restart(): Promise<void>;
  /** What every program started so far has written, both streams. */
  output(): string;
  /** Closes our end of both, as `| head` does. */
  closeOutput(): void;
}

const farmMain = fileURLToPath(new URL('./main.ts', import.meta.url));
const root = fileURLToPath(new URL('../..', import.meta.url));
const coordinatorMain = fileURLToPath(new URL('../../apps/coordinator/src/main.ts', import.meta.url));
const startMs = MINUTE;
const endMs = MINUTE;

/**
 * Resolves when it serves. Disposal ends a farm that runs as Ctrl-C does.
 * @throws Error when anything of it is left then; whatever was left is killed and removed first
 */
export async function startFarm(options: FarmOptions = {}): Promise<TestFarm> {
  const dataDir = options.dataDir ?? (await mkdtemp(join(tmpdir(), 'croft-farm-')));
  const program = createProgram(options, dataDir);
  const guard = (): void => killAll(processesOf(dataDir));
  process.once('exit', guard);
  const end = async (): Promise<void> => {
    const ran = program.running();
    if (ran) await program.interrupt('SIGINT').catch(() => undefined);
    const left = processesOf(dataDir);
    killAll(left);
    process.removeListener('exit', guard);
    if (options.dataDir === undefined) await rm(dataDir, { recursive: true, force: true, maxRetries: 5 });
    if (ran && left.length > 0) throw new Error(`the farm left processes: ${JSON.stringify(left)}\n${program.output()}`);
  };
  try {
    await program.start();
  } catch (error) {
    await end();
    throw error;
  }
  return {
    get url() {
      return program.url();
    },
    get pid() {
      return program.pid();
    },
    dataDir,
    api: (method, path, body) => askJson(method, new URL(path, program.url()), body),
    waitFor: (what, probe, { deadlineMs = MINUTE } = {}) => until(probe, { what, limitMs: deadlineMs, tell: program.output }),
    async kill9() {
      await program.stop('SIGKILL');
    },
    stop: program.stop,
    ctrlC: () => program.interrupt('SIGINT'),
    hangUp: () => program.interrupt('SIGHUP'),
    restart: program.start,
    output: program.output,
    closeOutput: program.closeOutput,
    [Symbol.asyncDispose]: end,
  };
}

/** Starts a farm that is refused, or that only answers, and waits for its end. Without `dataDir` it must have started nothing else. */
export async function endOfFarm(options: FarmOptions): Promise<{ exit: number | NodeJS.Signals; output: string }> {
  const dataDir = options.dataDir ?? (await mkdtemp(join(tmpdir(), 'croft-farm-')));
  const child = launch(options, dataDir, '');
  try {
    const streams = [child.stdout, child.stderr].map((stream) => (stream ? text(stream) : ''));
    const [exit, ...pieces] = await Promise.all([exitOf(child, startMs), ...streams]);
    const output = pieces.join('');
    if (options.dataDir === undefined && processesOf(dataDir).length > 0) fail(`it left processes: ${output}`);
    return { exit, output };
  } finally {
    child.kill('SIGKILL');
    if (options.dataDir === undefined) {
      killAll(processesOf(dataDir));
      await rm(dataDir, { recursive: true, force: true });
    }
  }
}

interface Program {
  start(): Promise<void>;
  stop(signal: NodeJS.Signals): Promise<number | NodeJS.Signals>;
  /** Signals everything in the foreground, as a terminal does. */
  interrupt(signal: NodeJS.Signals): Promise<number | NodeJS.Signals>;
  running(): boolean;
  url(): string;
  pid(): number;
  output(): string;
  closeOutput(): void;
}

function createProgram(options: FarmOptions, dataDir: string): Program {
  let child: ChildProcess | undefined;
  let url = '';
  let output = '';
  const must = (): ChildProcess => child ?? fail('the farm was not started');
  return {
    async start() {
      const started = (child = launch(options, dataDir, url)); // at once, so that whoever kills now kills this one
      const from = output.length;
      const { promise: serving, resolve } = Promise.withResolvers<string>();
      const onText = (piece: string): void => {
        output += piece;
        const address = [...output.slice(from).matchAll(/^ *(https?:\/\/[^\s/]+:\d+)\/?(?: |$)/gm)].at(-1)?.[1];
        if (address !== undefined) resolve((url = address));
      };
      started.stdout?.setEncoding('utf8').on('data', onText);
      started.stderr?.setEncoding('utf8').on('data', onText);
      const ended = exitOf(started, startMs).then((exit) => fail(`the farm ended (${exit}) before it served: ${output.slice(from)}`));
      await Promise.race([serving, ended]);
      ended.catch(() => undefined);
    },
    async stop(signal) {
      must().kill(signal);
      return exitOf(must(), endMs);
    },
    async interrupt(signal) {
      process.kill(-(must().pid ?? fail('the farm has no process')), signal);
      return exitOf(must(), endMs);
    },
    running: () => child !== undefined && !isGone(child),
    url: () => url,
    pid: () => must().pid ?? 0,
    output: () => output,
    closeOutput() {
      must().stdout?.destroy();
      must().stderr?.destroy();
    },
  };
}

function launch({ repo, npm, watch, args = [], config, env }: FarmOptions, dataDir: string, url: string): ChildProcess {
  const port = url === '' ? 0 : Number(new URL(url).port);
  const own = repo === undefined ? [] : ['--repo', repo];
  const flags = [...own, '--data-dir', dataDir, '--port', String(port), ...args];
  const watching = watch === undefined ? [] : ['--watch', `--watch-path=${watch}`];
  let command = npm ? ['npm', 'start', '--', ...flags] : [process.execPath, ...watching, farmMain, ...flags];
  if (config) {
    const file = join(dataDir, 'config.json');
    writeFileSync(file, JSON.stringify({ dataDir, port, ...config }));
    command = [process.execPath, coordinatorMain, '--config', file];
  }
  const { NODE_TEST_CONTEXT: _, ...inherited } = process.env;
  const [program = '', ...rest] = command;
  return spawn(program, rest, { cwd: root, env: { ...inherited, ...env }, detached: true, stdio: ['ignore', 'pipe', 'pipe'] });
}

async function askJson<T>(method: string, url: URL, body: unknown): Promise<T> {
  const sent = body === undefined ? {} : { body: JSON.stringify(body), headers: { 'content-type': 'application/json' } };
  const response = await fetch(url, { method, ...sent, signal: systemClock.deadline(30 * SECOND) });
  const text = await response.text();
  if (!response.ok) throw new Error(`${method} ${url.pathname} was refused with ${response.status}: ${text}`);
  return JSON.parse(text) as T;
}

function isGone(child: ChildProcess): boolean {
  return child.exitCode !== null || child.signalCode !== null;
}

async function exitOf(child: ChildProcess, withinMs: number): Promise<number | NodeJS.Signals> {
  if (!isGone(child)) await once(child, 'exit', { signal: systemClock.deadline(withinMs) });
  return child.exitCode ?? child.signalCode ?? 0;
}

function fail(why: string): never {
  throw new Error(why);
}

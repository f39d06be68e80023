/** A farm as it runs in earnest: a coordinator process with a configuration of its own, which starts buildlet processes. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { glob, mkdir, open, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import type { Readable } from 'node:stream';
import { fileURLToPath } from 'node:url';
import type { ConfigInput } from '@croft/config/define-config';
import type { BuildDetail } from '@croft/protocol/api';
import { anySignal, MINUTE, SECOND, type Clock } from '@croft/runtime/clock';
import { CroftError } from '@croft/runtime/errors';
import { systemRandom } from '@croft/runtime/random';
import { createClient, type Client } from '@croft/web/client';
import { killGroup } from './programs.ts';
import type { Bench } from './row.ts';
import type { SampleRepository } from './sample-repository.ts';

export interface FarmProcess extends AsyncDisposable {
  readonly url: string;
  readonly client: Client;
  readonly coordinatorPid: number;
  buildletPids(): Promise<number[]>;
  /** The build once it has passed. @throws CroftError `unavailable` when it ends in another way */
  passed(build: string): Promise<BuildDetail>;
}

export type FarmOptions = SampleFarm | WholeFarm;

export interface WholeFarm {
  /** All but where it lives. */
  readonly config: Partial<ConfigInput>;
  readonly buildlets: number;
}

export interface SampleFarm {
  readonly repo: SampleRepository;
  /** How many of the newest commits are built. */
  readonly depth: number;
  readonly buildlets: number;
  /** What the only step runs. */
  readonly argv: readonly string[];
}

const coordinatorMain = fileURLToPath(new URL('../../apps/coordinator/src/main.ts', import.meta.url));
const startMs = MINUTE;
const endMs = 30 * SECOND;
const buildMs = 5 * MINUTE;

/** Resolves when every buildlet is up. Disposal ends all of its processes and waits until they are gone. */
export async function startFarm(options: FarmOptions, bench: Bench): Promise<FarmProcess> {
  const { clock, signal } = bench;
  const dataDir = join(bench.dir, 'farm');
  const configFile = join(bench.dir, 'farm.json');
  await mkdir(dataDir, { recursive: true });
  await writeFile(configFile, JSON.stringify(configOf(options, dataDir)));
  await using stack = new AsyncDisposableStack();
  const profile = bench.profileDir === undefined ? [] : ['--cpu-prof', `--cpu-prof-dir=${bench.profileDir}`];
  await using complaints = await open(join(bench.dir, 'farm.err'), 'a');
  const child = spawn(process.execPath, ['--disable-warning=ExperimentalWarning', ...profile, coordinatorMain, '--config', configFile], {
    detached: true, // Ctrl-C at the terminal comes to us alone, and we end it
    stdio: ['ignore', 'pipe', complaints.fd],
  });
  const pid = child.pid ?? 0;
  const gone = once(child, 'exit').catch(() => undefined); // `error`: it was not started, told below
  stack.defer(() => endFarm(pid, { gone, dataDir, clock }));
  const url = await firstLine(child.stdout, anySignal(signal, clock.deadline(startMs)));
  if (url === undefined) {
    throw new CroftError('unavailable', `the coordinator did not start: ${(await readFile(join(bench.dir, 'farm.err'), 'utf8')).trim()}`);
  }
  const client = createClient({ server: url, clock, random: systemRandom });
  const until = anySignal(signal, clock.deadline(startMs));
  while (!(await isUp(client, options.buildlets))) await clock.sleep(50, { signal: until });
  const owned = stack.move();
  return {
    url,
    client,
    coordinatorPid: pid,
    buildletPids: () => buildletPids(dataDir),
    async passed(build) {
      const waits = { signal: anySignal(signal, clock.deadline(buildMs)) };
      for (;;) {
        const detail = await client.call('build.get', { params: { build }, ...waits });
        if (detail.end?.kind === 'passed') return detail;
        if (detail.end) throw new CroftError('unavailable', `build ${build} did not pass: ${JSON.stringify(detail.end)}`);
        await clock.sleep(20, waits);
      }
    },
    [Symbol.asyncDispose]: () => owned.disposeAsync(),
  };
}

function configOf(options: FarmOptions, dataDir: string): ConfigInput {
  const place = { dataDir, port: 0, logFile: join(dataDir, 'coordinator.log') };
  if ('config' in options) return { ...place, ...options.config };
  const { repo, depth, buildlets, argv } = options;
  return {
    ...place,
    repos: [{ name: 'sample', url: repo.path, depth, pollMs: 60 * MINUTE }],
    builders: [{ name: 'bench', repo: 'sample', steps: [{ name: 'command', argv: [...argv] }] }],
    pools: [{ kind: 'local', size: buildlets }],
  };
}

async function isUp(client: Client, buildlets: number): Promise<boolean> {
  const { machines } = await client.call('farm.get');
  return machines.filter((machine) => machine.state === 'ready' || machine.state === 'busy').length === buildlets;
}

async function firstLine(stream: Readable | null, signal: AbortSignal): Promise<string | undefined> {
  if (!stream) return undefined;
  const lines = createInterface({ input: stream, signal });
  for await (const line of lines) return line;
  signal.throwIfAborted();
  return undefined;
}

/** SIGINT asks the coordinator to end everything; what does not go by itself is killed. */
async function endFarm(pid: number, { gone, dataDir, clock }: { gone: Promise<unknown>; dataDir: string; clock: Clock }): Promise<void> {
  const waiting = new AbortController();
  try {
    if (pid > 0) process.kill(pid, 'SIGINT');
  } catch {
    // it has ended already
  }
  await Promise.race([gone, clock.sleep(endMs, { signal: waiting.signal }).catch(() => undefined)]);
  waiting.abort();
  for (const left of [pid, ...(await buildletPids(dataDir))]) if (left > 0) killGroup(left);
  await gone;
}

async function buildletPids(dataDir: string): Promise<number[]> {
  const pids: number[] = [];
  for await (const path of glob(join(dataDir, 'machines', '*', 'process.json'))) {
    pids.push((JSON.parse(await readFile(path, 'utf8')) as { pid: number }).pid);
  }
  return pids;
}

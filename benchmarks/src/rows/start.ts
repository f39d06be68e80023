/** How long a start takes: `npm start` until it serves a page, and a buildlet until it answers. */
import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { mkdir, readFile, rm } from 'node:fs/promises';
import { request } from 'node:http';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { createDistribution } from '@croft-apps/coordinator/distribution';
import { anySignal, MINUTE, SECOND } from '@croft/runtime/clock';
import { CroftError } from '@croft/runtime/errors';
import { killGroup } from '../programs.ts';
import type { Bench, Measurement, Row } from '../row.ts';
import { createSampleRepository } from '../sample-repository.ts';

const rounds = 8;
const goalMs = 2_000;
const pollMs = 3;
const root = fileURLToPath(new URL('../../..', import.meta.url));

export const start: Row = { name: 'start', about: 'every start after the first one', run };

/** As small as a server can be. */
const bareServer = 'require("node:http").createServer((_, response) => response.end("hello")).listen(process.argv[1])';

async function run(bench: Bench): Promise<Measurement[]> {
  const repo = await createSampleRepository(bench.dir, bench.signal);
  const { program } = await createDistribution(join(bench.dir, 'programs'))(); // one serves all machines of a coordinator
  const pages: number[] = [];
  const buildlets: number[] = [];
  const bare: number[] = [];
  for (let round = 0; round <= rounds; round += 1) {
    bench.progress(`start ${round + 1} of ${rounds + 1}`);
    const elapsed = [await timeFarm(repo.path, bench), await timeBuildlet(program, bench), await timeBare(bench)] as const;
    if (round === 0) continue; // the first start makes what the others find
    pages.push(elapsed[0]);
    buildlets.push(elapsed[1]);
    bare.push(elapsed[2]);
  }
  const peer = { what: 'bare Node server', samples: bare };
  return [
    { what: 'npm start to the first page', unit: 'ms', samples: pages, goal: goalMs, peer },
    { what: 'buildlet to its first answer', unit: 'ms', samples: buildlets, peer },
  ];
}

async function timeFarm(repo: string, bench: Bench): Promise<number> {
  const dataDir = join(bench.dir, 'data');
  const flags = ['--repo', repo, '--data-dir', dataDir, '--depth', '1', '--port', '0'];
  return timed(['npm', 'start', '--', ...flags], {}, bench, async (signal) => {
    const address = await readFile(join(dataDir, 'address.json'), 'utf8');
    const response = await fetch(`${JSON.parse(address).url}/`, { signal });
    await response.text();
    return response.ok;
  });
}

async function timeBuildlet(program: string, bench: Bench): Promise<number> {
  const dir = join(bench.dir, 'buildlet');
  await mkdir(dir, { recursive: true, mode: 0o700 });
  const socketPath = join(dir, 'socket');
  const flags = ['-workdir', join(dir, 'work'), '-listen', `unix:${socketPath}`, '--state-dir', join(dir, 'state')];
  const argv = [process.execPath, '--disable-warning=ExperimentalWarning', program, ...flags] as const;
  return timed(argv, { META_password: 'benchmark' }, bench, (signal) => answers(socketPath, '/healthz', signal));
}

async function timeBare(bench: Bench): Promise<number> {
  const socketPath = join(bench.dir, 'bare.sock');
  await rm(socketPath, { force: true });
  return timed([process.execPath, '-e', bareServer, socketPath], {}, bench, (signal) => answers(socketPath, '/', signal));
}

/** Until `ready` says so; what it throws means not yet. Ends the program as Ctrl-C does. */
async function timed(
  [program, ...args]: readonly [string, ...string[]],
  env: Readonly<Record<string, string>>,
  { clock, signal: given }: Bench,
  ready: (signal: AbortSignal) => Promise<boolean>,
): Promise<number> {
  const signal = anySignal(given, clock.deadline(MINUTE));
  const startedAt = clock.monotonic();
  const child = spawn(program, args, { cwd: root, env: { ...process.env, ...env }, stdio: ['ignore', 'ignore', 'pipe'], detached: true });
  let complaint = '';
  child.stderr.setEncoding('utf8').on('data', (part: string) => (complaint = `${complaint}${part}`.slice(-1_000)));
  const gone = once(child, 'exit').catch(() => undefined);
  try {
    while (!(await ready(signal).catch(() => false))) {
      if (child.exitCode !== null)
        throw new CroftError('unavailable', `${program} ended with ${child.exitCode} before it answered: ${complaint.trim()}`);
      await clock.sleep(pollMs, { signal });
    }
    return clock.monotonic() - startedAt;
  } finally {
    await endGroup(child, gone, clock);
  }
}

async function endGroup({ pid }: ChildProcess, gone: Promise<unknown>, clock: Bench['clock']): Promise<void> {
  if (pid === undefined) return;
  const waiting = new AbortController();
  try {
    process.kill(-pid, 'SIGINT');
  } catch {
    // it has ended already
  }
  await Promise.race([gone, clock.sleep(20 * SECOND, { signal: waiting.signal }).catch(() => undefined)]);
  waiting.abort();
  killGroup(pid);
  await gone;
}

async function answers(socketPath: string, path: string, signal: AbortSignal): Promise<boolean> {
  const sent = request({ socketPath, path, signal, agent: false });
  sent.end();
  const [response] = await once(sent, 'response', { signal });
  response.resume();
  return response.statusCode === 200;
}

/** What it costs to look at very many repositories in which nothing has happened: CPU of the coordinator and of every git it starts. */
import { spawn } from 'node:child_process';
import { cp, mkdir } from 'node:fs/promises';
import { createServer, type AddressInfo } from 'node:net';
import { join } from 'node:path';
import { MINUTE } from '@croft/runtime/clock';
import { startFarm, type FarmProcess } from '../farm-process.ts';
import { cpuMs } from '../process-cpu.ts';
import { runProgram } from '../programs.ts';
import type { Bench, Measurement, Row } from '../row.ts';

const branches = 20;
const counts = { here: 1_000, served: 200 };
const rounds = 3;
const atOnce = 16;
/** One core-minute for a thousand. */
const goalMs = MINUTE / 1_000;

export const poll: Row = {
  name: 'poll',
  about: `CPU of one look at a repository of ${branches} branches that did not move, of ${counts.here} on this machine and ${counts.served} behind git://`,
  run,
};

/** What a person would write; the shell tells at its end what its children used. */
const loopBody = 'for name in $(seq "$2"); do git ls-remote -q "$1/$name.git" HEAD "refs/heads/*" >"$3"; done; times';

async function run(bench: Bench): Promise<Measurement[]> {
  const root = join(bench.dir, 'repos');
  await createRepositories(root, bench);
  await using server = await serveGit(root);
  const measured: Measurement[] = [];
  for (const [place, base] of [
    ['here', root],
    ['served', server.url],
  ] as const) {
    const count = counts[place];
    const names = Array.from({ length: count }, (_, n) => `${place}-${n + 1}`);
    const repos = names.map((name, n) => ({ name, url: `${base}/${n + 1}.git`, pollMs: 'never' as const, depth: 1 }));
    await using farm = await startFarm({ config: { repos, builders: [], pools: [] }, buildlets: 0 }, bench);
    await lookAtAll(farm, names, { bench, told: `${place}: fetching` });
    const ours: number[] = [];
    const loop: number[] = [];
    for (let round = 1; round <= rounds; round += 1) {
      const before = await cpuMs([farm.coordinatorPid]);
      await lookAtAll(farm, names, { bench, told: `${place}: round ${round} of ${rounds}` });
      ours.push(((await cpuMs([farm.coordinatorPid])) - before) / count);
      bench.progress(`${place}: shell loop`);
      loop.push((await loopCpuMs(base, Math.min(count, counts.served), bench)) / Math.min(count, counts.served));
    }
    measured.push({
      what: place === 'here' ? 'on this machine' : 'behind git://',
      unit: 'ms',
      samples: ours,
      goal: goalMs,
      peer: peerOf(loop),
    });
  }
  return measured;
}

const peerOf = (samples: readonly number[]): NonNullable<Measurement['peer']> => ({ what: 'shell loop of git ls-remote', samples });

/** Each of them the same: as little as a repository can be, since what is asked for does not depend on its size. */
async function createRepositories(root: string, { signal, progress }: Bench): Promise<void> {
  progress('making repositories');
  await mkdir(root, { recursive: true });
  const first = join(root, '1.git');
  await runProgram(['git', 'init', '--quiet', '--bare', '--template=', '--initial-branch=main', first], { signal });
  const commit = (n: number): string => {
    const ref = n === 0 ? 'main' : `topic/${n}`;
    const from = n === 0 ? '' : 'from refs/heads/main\n';
    return `commit refs/heads/${ref}\ncommitter Sample <sample@example.org> ${1_700_000_000 + n} +0000\ndata 1\n.\n${from}`;
  };
  const input = Array.from({ length: branches }, (_, n) => commit(n)).join('');
  await runProgram(['git', '-C', first, 'fast-import', '--quiet'], { signal, input });
  for (let n = 2; n <= counts.here; n += 1) {
    signal.throwIfAborted();
    await cp(first, join(root, `${n}.git`), { recursive: true });
  }
}

/** Speaks git's own protocol; what it costs to serve is not counted. */
async function serveGit(root: string): Promise<{ url: string } & AsyncDisposable> {
  const server = createServer({ pauseOnConnect: true }, (socket) => {
    const args = ['daemon', '--inetd', '--export-all', `--base-path=${root}`];
    spawn('git', args, { stdio: [socket, socket, 'ignore'] }).on('close', () => socket.destroy());
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return {
    url: `git://127.0.0.1:${(server.address() as AddressInfo).port}`,
    [Symbol.asyncDispose]: () => new Promise((resolve) => server.close(() => resolve())),
  };
}

async function lookAtAll(
  { client }: FarmProcess,
  names: readonly string[],
  { bench: { signal, progress }, told }: { bench: Bench; told: string },
): Promise<void> {
  const left = names.values();
  let done = 0;
  const work = async (): Promise<void> => {
    for (const repo of left) {
      await client.call('repo.notify', { params: { repo }, signal });
      done += 1;
      progress(`${told}, ${done} of ${names.length}`);
    }
  };
  await Promise.all(Array.from({ length: atOnce }, work));
}

async function loopCpuMs(base: string, count: number, { dir, signal }: Bench): Promise<number> {
  const said = await runProgram(['sh', '-c', loopBody, 'sh', base, String(count), join(dir, 'listing')], { signal });
  const [, ofChildren = ''] = said.trim().split('\n');
  const times = [...ofChildren.matchAll(/(\d+)m([\d.]+)s/g)];
  return times.reduce((sum, [, minutes, seconds]) => sum + (Number(minutes) * 60 + Number(seconds)) * 1_000, 0);
}

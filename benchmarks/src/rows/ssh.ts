/** The SSH door over a reverse line against OpenSSH straight to the same machine: bytes, one key's echo, and many shells at once. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { open } from 'node:fs/promises';
import { join } from 'node:path';
import ssh2, { type ClientChannel } from 'ssh2';
import { CroftError } from '@croft/runtime/errors';
import { pssMB } from '../process-memory.ts';
import type { Bench, Measurement, Row } from '../row.ts';
import { median, quantile } from '../samples.ts';
import { openSshPlace, type SshPlace, type Way } from '../ssh-place.ts';

const megabytes = 1_000;
const rounds = 3;
const keys = 400;
const goalEchoMs = 5;
const manyShells = 200;
const keysOfEach = 20;
const goalShellsMB = 300;
const goalShellsMs = 20;
/** Of a sample, ms. */
const betweenKeysMs = 5;

export const ssh: Row = { name: 'ssh', about: `${megabytes} MB through the SSH door and a reverse line`, run: runBytes };
export const echo: Row = { name: 'echo', about: 'one key through the SSH door, from being typed to being shown', run: runEcho };
export const shells: Row = { name: 'shells', about: `${manyShells} shells at once through the SSH door`, run: runShells };

type Job = (way: Way) => Promise<void>;

async function runBytes(bench: Bench): Promise<Measurement[]> {
  await using place = await openSshPlace(bench);
  const file = join(bench.dir, 'file');
  await runToEnd('sh', ['-c', `head -c ${megabytes * 1_000_000} /dev/urandom > ${file}`], bench);
  const jobs: Record<string, Job> = {
    'exec, out': (way) => runToEnd('ssh', [...to(way), `cat ${file}`], bench),
    'exec, in': (way) => runToEnd('ssh', [...to(way), 'cat > /dev/null'], bench, file),
    'sftp get': (way) => runToEnd('scp', [...from(way), `${way.user}@127.0.0.1:${file}`, '/dev/null'], bench),
    'sftp put': (way) => runToEnd('scp', [...from(way), file, `${way.user}@127.0.0.1:/dev/null`], bench),
  };
  const measurements: Measurement[] = [];
  for (const [what, job] of Object.entries(jobs)) {
    const [mine, theirs]: [number[], number[]] = [[], []];
    for (let round = 1; round <= rounds; round += 1) {
      bench.progress(`${what}, round ${round} of ${rounds}`);
      mine.push(await rateOf(() => job(place.door), bench));
      theirs.push(await rateOf(() => job(place.direct), bench));
    }
    const peer = { what: place.direct.name, samples: theirs };
    measurements.push({ what, unit: 'MB/s', samples: mine, peer, goal: median(theirs) / 2 });
  }
  return measurements;
}

function to({ options, port, user }: Way): string[] {
  return [...options, '-p', String(port), `${user}@127.0.0.1`];
}

function from({ options, port }: Way): string[] {
  return [...options, '-q', '-P', String(port)];
}

async function rateOf(job: () => Promise<void>, { clock }: Bench): Promise<number> {
  const startedAt = clock.monotonic();
  await job();
  return (megabytes / (clock.monotonic() - startedAt)) * 1_000;
}

async function runToEnd(program: string, args: readonly string[], { signal }: Bench, input?: string): Promise<void> {
  await using source = await open(input ?? '/dev/null');
  const child = spawn(program, args, { stdio: [source.fd, 'ignore', 'pipe'], signal });
  let complaint = '';
  child.stderr?.setEncoding('utf8').on('data', (piece: string) => (complaint += piece));
  const [code] = (await once(child, 'close')) as [number | null];
  if (code !== 0) throw new CroftError('unavailable', `${program} ended with ${code}: ${complaint.trim().slice(-1_000)}`);
}

async function runEcho(bench: Bench): Promise<Measurement[]> {
  await using place = await openSshPlace(bench);
  const times = new Map<Way, number[]>();
  for (const way of [place.door, place.direct]) {
    bench.progress(way.name);
    await using shell = await openShell(way, place, bench);
    const samples: number[] = [];
    for (let key = 0; key < keys; key += 1) {
      samples.push(await shell.typeKey());
      await bench.clock.sleep(betweenKeysMs, { signal: bench.signal });
    }
    times.set(way, samples);
  }
  const of = (way: Way, share: number): number => quantile(times.get(way) ?? [], share);
  return [0.5, 0.99].map((share) => ({
    what: `echo of a key, p${share * 100}`,
    unit: 'ms' as const,
    samples: [of(place.door, share)],
    peer: { what: place.direct.name, samples: [of(place.direct, share)] },
    goal: of(place.direct, share) + goalEchoMs,
  }));
}

async function runShells(bench: Bench): Promise<Measurement[]> {
  await using place = await openSshPlace(bench);
  await using stack = new AsyncDisposableStack();
  const before = await pssMB(place.coordinatorPid);
  const open: Shell[] = [];
  for (let at = 0; at < manyShells; at += 1) {
    bench.progress(`${at} of ${manyShells} shells`);
    open.push(stack.use(await openShell({ ...place.door, user: `${place.door.user}+new` }, place, bench)));
  }
  const after = await pssMB(place.coordinatorPid);
  bench.progress('typing');
  const times = open.map((): number[] => []);
  for (let key = 0; key < keysOfEach; key += 1)
    for (const [at, shell] of open.entries()) {
      times[at]?.push(await shell.typeKey());
      await bench.clock.sleep(1, { signal: bench.signal });
    }
  return [
    { what: `memory of ${manyShells} shells`, unit: 'MB', samples: [after - before], goal: goalShellsMB },
    {
      what: 'echo, worst p99 of a shell',
      unit: 'ms',
      samples: [Math.max(...times.map((samples) => quantile(samples, 0.99)))],
      goal: goalShellsMs,
    },
    { what: 'echo, p50 of all', unit: 'ms', samples: [quantile(times.flat(), 0.5)], goal: goalShellsMs },
  ];
}

interface Shell extends AsyncDisposable {
  /** Until it is shown, ms. */
  typeKey(): Promise<number>;
}

async function openShell({ user, port }: Way, { key }: SshPlace, { clock, signal }: Bench): Promise<Shell> {
  const client = new ssh2.Client();
  const ready = once(client, 'ready', { signal });
  client.connect({ host: '127.0.0.1', port, username: user, privateKey: key });
  await ready;
  client.setNoDelay(true);
  client.on('error', () => undefined);
  const { promise, resolve, reject } = Promise.withResolvers<ClientChannel>();
  client.shell({ term: 'dumb', cols: 80, rows: 24 }, (error, channel) => (error ? reject(error) : resolve(channel)));
  const channel = await promise;
  let shown = '';
  let told = Promise.withResolvers<void>();
  channel.setEncoding('latin1').on('data', (piece: string) => {
    shown += piece;
    told.resolve();
    told = Promise.withResolvers();
  });
  const until = async (text: string): Promise<void> => {
    while (!shown.includes(text)) await told.promise;
    shown = '';
  };
  channel.write('exec sh -c \'echo rea""dy; exec cat > /dev/null\'\r'); // its terminal echoes, and nothing else is shown
  await until('ready');
  return {
    async typeKey() {
      shown = '';
      const startedAt = clock.monotonic();
      channel.write('x');
      await until('x');
      return clock.monotonic() - startedAt;
    },
    async [Symbol.asyncDispose]() {
      const closed = once(client, 'close');
      client.end();
      await closed;
    },
  };
}

/** Bytes through the SSH door over a reverse line, and by OpenSSH straight to the same machine. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { open } from 'node:fs/promises';
import { join } from 'node:path';
import { CroftError } from '@croft/runtime/errors';
import type { Bench, Measurement, Row } from '../row.ts';
import { median } from '../samples.ts';
import { openSshPlace, type Way } from '../ssh-place.ts';

const megabytes = 1_000;
const rounds = 3;

export const ssh: Row = { name: 'ssh', about: `${megabytes} MB through the SSH door and a reverse line`, run: runBytes };

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

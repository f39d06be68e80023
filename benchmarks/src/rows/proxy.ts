/** Archives to a session's machine and back through the coordinator, beside the same at a buildlet that is asked directly. */
import { once } from 'node:events';
import { createReadStream } from 'node:fs';
import { request as httpRequest, type IncomingMessage } from 'node:http';
import { join } from 'node:path';
import { CroftError } from '@croft/runtime/errors';
import { startOurBuildlet } from '../buildlet-process.ts';
import { startFarm } from '../farm-process.ts';
import { cpuMs } from '../process-cpu.ts';
import { runProgram } from '../programs.ts';
import type { Bench, Measurement, Row } from '../row.ts';
import { createSampleRepository } from '../sample-repository.ts';
import { median } from '../samples.ts';

const megabytes = 500;
const rounds = 5;
const goal = 0.8;

export const proxy: Row = { name: 'proxy', about: `${megabytes} MB to a session’s machine and back through the coordinator`, run };

interface Round {
  readonly method: 'GET' | 'PUT';
  readonly path: string;
  /** A file. */
  readonly body?: string;
}

type Job = (round: number) => Round;

/** Where paths of a machine begin. */
interface Place {
  readonly port: number;
  readonly base: string;
}

async function run(bench: Bench): Promise<Measurement[]> {
  const { dir, signal, progress } = bench;
  await using direct = await startOurBuildlet(bench);
  const repo = await createSampleRepository(dir, signal);
  await using farm = await startFarm({ repo, depth: 1, buildlets: 1, argv: ['true'] }, bench);
  const { id } = await farm.client.call('session.create', { body: { builder: 'bench' }, signal });
  for await (const { state } of farm.client.followSession(id, { signal })) if (state === 'active') break;
  const session = { port: Number(new URL(farm.url).port), base: `/api/v1/sessions/${id}/machine` };
  const machine = { port: direct.port, base: '' };
  const file = join(dir, 'sent');
  // Random, so that what is packed is as long and no processor is in the way of the bytes.
  await runProgram(['sh', '-c', `mkdir "$1" && head -c ${megabytes}000000 /dev/urandom > "$1/file"`, 'sh', file], bench);
  await runProgram(['sh', '-c', 'tar -C "$1" -cf - . | gzip -1 > "$1.tgz"', 'sh', file], bench);
  const jobs: Record<string, Job> = {
    writetgz: (round) => ({ method: 'PUT', path: `/writetgz?dir=d${round}`, body: `${file}.tgz` }),
    tgz: (round) => ({ method: 'GET', path: `/tgz?dir=d${round}&level=0` }),
    write: (round) => ({ method: 'PUT', path: `/write?path=f${round}&mode=420`, body: join(file, 'file') }),
  };
  const measured: Measurement[] = [];
  for (const [what, job] of Object.entries(jobs)) {
    const [mine, theirs, cpu]: [number[], number[], number[]] = [[], [], []];
    for (let round = 1; round <= rounds; round += 1) {
      progress(`${what}, round ${round} of ${rounds}`);
      const usedBefore = await cpuMs([farm.coordinatorPid]);
      mine.push(await rateOf(session, job(round), bench));
      cpu.push(((await cpuMs([farm.coordinatorPid])) - usedBefore) * (1_000 / megabytes));
      theirs.push(await rateOf(machine, job(round), bench));
    }
    measured.push(
      { what, unit: 'MB/s', samples: mine, peer: { what: 'directly', samples: theirs }, goal: median(theirs) * goal },
      { what: `${what}: the coordinator’s processor time of 1 GB`, unit: 'ms', samples: cpu },
    );
  }
  return measured;
}

async function rateOf({ port, base }: Place, { method, path, body }: Round, { clock, signal }: Bench): Promise<number> {
  const startedAt = clock.monotonic();
  const headers = { 'Croft-Epoch': '1' };
  const request = httpRequest({ host: '127.0.0.1', port, method, path: `${base}${path}`, headers, agent: false, signal });
  if (body) createReadStream(body, { highWaterMark: 256 * 1024 }).pipe(request);
  else request.end();
  const [response] = (await once(request, 'response')) as [IncomingMessage];
  for await (const _ of response);
  if (response.statusCode !== 200) throw new CroftError('unavailable', `${method} ${path} was answered ${response.statusCode}`);
  return (megabytes / (clock.monotonic() - startedAt)) * 1_000;
}

/** A gigabyte of output on its way from the command into the stored, hashed log, and how soon a page shows what was written. */
import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { startFarm, type FarmProcess } from '../farm-process.ts';
import { memoryIsKnown, watchPeak } from '../process-memory.ts';
import { runProgram } from '../programs.ts';
import type { Bench, Measurement, Row } from '../row.ts';
import { createSampleRepository, type SampleRepository } from '../sample-repository.ts';

const bytes = 1_000_000_000;
const rounds = 3;
const stamps = 20;
const goalMBs = 200;
const goalFirstByteMs = 100;

export const output: Row = { name: 'output', about: 'a command that writes 1 GB, and one that writes a line', run };

async function run(bench: Bench): Promise<Measurement[]> {
  const repo = await createSampleRepository(bench.dir, bench.signal);
  return [...(await measureBulk(repo, bench)), await measureFirstByte(repo, bench)];
}

async function measureBulk(repo: SampleRepository, bench: Bench): Promise<Measurement[]> {
  const { dir, signal, progress } = bench;
  const source = join(dir, 'source.txt');
  progress('writing what the command will write');
  await runProgram(
    [
      'sh',
      '-c',
      'yes "$1" | head -c "$2" > "$3"',
      'sh',
      'ok 1234 - a line as test programs write it, with the name of the test',
      String(bytes),
      source,
    ],
    { signal },
  );
  await using farm = await startFarm({ repo, depth: 1, buildlets: 1, argv: ['cat', source] }, bench);
  const [buildlet = 0] = await farm.buildletPids();
  const rates: number[] = [];
  const copied: number[] = [];
  const peaks = { coordinator: [] as number[], buildlet: [] as number[] };
  for (const [n, revision] of (await repo.addCommits(rounds)).entries()) {
    progress(`build ${n + 1} of ${rounds}`);
    await using coordinatorPeak = watchPeak(farm.coordinatorPid, bench.clock);
    await using buildletPeak = watchPeak(buildlet, bench.clock);
    rates.push(await buildRate(await queue(farm, repo, revision), farm));
    peaks.coordinator.push(coordinatorPeak.peakMB);
    peaks.buildlet.push(buildletPeak.peakMB);
    progress(`copy ${n + 1} of ${rounds}`);
    copied.push(await copyRate(source, join(dir, 'copy.txt'), bench));
  }
  const peer = { what: 'cat | cat > file, fsync', samples: copied };
  const peak = (what: string, samples: number[]): Measurement[] =>
    memoryIsKnown ? [{ what: `  most memory of ${what} meanwhile`, unit: 'MB', samples }] : [];
  return [
    { what: 'into the stored log', unit: 'MB/s', samples: rates, goal: goalMBs, peer },
    ...peak('the coordinator', peaks.coordinator),
    ...peak('the buildlet', peaks.buildlet),
  ];
}

/** From the start of the step to the end of the attempt, when the log is durable and hashed. */
async function buildRate(build: string, farm: FarmProcess): Promise<number> {
  const { attemptList } = await farm.passed(build);
  const attempt = attemptList[0];
  const startedAt = attempt?.steps.at(-1)?.startedAt ?? NaN;
  return bytes / 1_000 / ((attempt?.endedAt ?? NaN) - startedAt);
}

async function copyRate(from: string, to: string, { clock, signal }: Bench): Promise<number> {
  const startedAt = clock.monotonic();
  await runProgram(['sh', '-c', 'cat "$1" | cat > "$2" && sync "$2"', 'sh', from, to], { signal });
  const elapsedMs = clock.monotonic() - startedAt;
  await runProgram(['rm', to], { signal });
  return bytes / 1_000 / elapsedMs;
}

/** The command notes the time and writes it; the log's events tell when a page has it. */
async function measureFirstByte(repo: SampleRepository, given: Bench): Promise<Measurement> {
  const bench = { ...given, dir: join(given.dir, 'first-byte') };
  await mkdir(bench.dir);
  await using farm = await startFarm({ repo, depth: 1, buildlets: 1, argv: ['sh', '-c', 'sleep 0.4; date +%s%N; sleep 0.1'] }, bench);
  const samples: number[] = [];
  for (const [n, revision] of (await repo.addCommits(stamps)).entries()) {
    bench.progress(`line ${n + 1} of ${stamps}`);
    const build = await queue(farm, repo, revision);
    samples.push(await heardLate(build, farm, bench));
    await farm.passed(build);
  }
  return { what: 'line written to line on a page', unit: 'ms', samples, goal: goalFirstByteMs };
}

async function heardLate(build: string, { client }: FarmProcess, { clock, signal }: Bench): Promise<number> {
  while ((await client.call('build.get', { params: { build }, signal })).attempts === 0) await clock.sleep(20, { signal });
  for await (const line of client.followLog({ build, attempt: 1, from: 0 }, { signal })) {
    return clock.now() - Number(Buffer.from(line).toString('latin1')) / 1e6;
  }
  return NaN;
}

async function queue({ client }: FarmProcess, repo: SampleRepository, revision: string): Promise<string> {
  await repo.moveTo(revision);
  const { queued } = await client.call('repo.notify', { params: { repo: 'sample' } });
  return queued[0] ?? '';
}

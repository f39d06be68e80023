/** How many small builds a farm with two buildlets carries from the queue to their verdicts, each in a fresh tree. */
import { join } from 'node:path';
import { CroftError } from '@croft/runtime/errors';
import { startFarm, type FarmProcess } from '../farm-process.ts';
import { cpuMs } from '../process-cpu.ts';
import { runProgram } from '../programs.ts';
import type { Bench, Measurement, Row } from '../row.ts';
import { createSampleRepository } from '../sample-repository.ts';

const builds = 200;
const rounds = 3;
const goal = 20;
const atOnce = 2;

export const throughput: Row = {
  name: 'throughput',
  about: `${builds} builds of 300 files and \`echo hello\` queued, two buildlets, a fresh tree each`,
  run,
};

/** What a person would write; its trees are deleted after the clock was stopped. */
const loopBody =
  'd=$(mktemp -d -p "$2") && git clone -q "$1" "$d/tree" && git -C "$d/tree" checkout -q "$3" && (cd "$d/tree" && sh -c "echo hello") >"$d/log" 2>&1';

async function run(bench: Bench): Promise<Measurement[]> {
  const { signal } = bench;
  const repo = await createSampleRepository(bench.dir, signal);
  await using farm = await startFarm({ repo, depth: builds, buildlets: atOnce, argv: ['sh', '-c', 'echo hello'] }, bench);
  const ours: number[] = [];
  const loop: number[] = [];
  const cost = { coordinator: [] as number[], buildlet: [] as number[] };
  const buildlets = await farm.buildletPids();
  for (let round = 1; round <= rounds; round += 1) {
    const revisions = await repo.addCommits(builds);
    await repo.moveTo(revisions.at(-1) ?? '');
    const before = [await cpuMs([farm.coordinatorPid]), await cpuMs(buildlets)] as const;
    ours.push(await timeFarm(farm, bench, `round ${round} of ${rounds}`));
    cost.coordinator.push(((await cpuMs([farm.coordinatorPid])) - before[0]) / builds);
    cost.buildlet.push(((await cpuMs(buildlets)) - before[1]) / builds);
    bench.progress(`round ${round} of ${rounds}: shell loop`);
    loop.push(await timeLoop(repo.path, revisions, bench));
  }
  const peer = { what: 'shell loop, two at a time', samples: loop };
  return [
    { what: 'queued to verdicts', unit: '/s', samples: ours, goal, peer },
    { what: '  CPU of the coordinator, each', unit: 'ms', samples: cost.coordinator },
    { what: '  CPU of its buildlet, each', unit: 'ms', samples: cost.buildlet },
  ];
}

/** From the word to the end that was stored last. */
async function timeFarm({ client }: FarmProcess, { clock, signal, progress }: Bench, round: string): Promise<number> {
  const notifiedAt = clock.now();
  const { queued } = await client.call('repo.notify', { params: { repo: 'sample' }, signal });
  const mine = new Set(queued);
  for (;;) {
    await clock.sleep(500, { signal });
    const { builds: newest } = await client.call('builds.list', { query: { limit: builds }, signal });
    const ends = newest.filter((build) => mine.has(build.id) && build.end?.kind === 'passed');
    const wrong = newest.find((build) => build.end && build.end.kind !== 'passed');
    if (wrong) throw new CroftError('unavailable', `build ${wrong.id} did not pass: ${JSON.stringify(wrong.end)}`);
    progress(`${round}: ${ends.length} of ${queued.length}`);
    if (ends.length < queued.length) continue;
    return (queued.length * 1_000) / (Math.max(...ends.map((build) => build.endedAt ?? NaN)) - notifiedAt);
  }
}

async function timeLoop(repo: string, revisions: readonly string[], { dir, signal, clock }: Bench): Promise<number> {
  const place = join(dir, 'loop');
  await runProgram(['mkdir', place], { signal });
  const startedAt = clock.monotonic();
  await runProgram(['xargs', '-P', String(atOnce), '-n', '1', 'sh', '-c', loopBody, 'sh', repo, place], {
    signal,
    input: revisions.join('\n'),
  });
  const elapsedMs = clock.monotonic() - startedAt;
  await runProgram(['rm', '-rf', place], { signal });
  return (revisions.length * 1_000) / elapsedMs;
}

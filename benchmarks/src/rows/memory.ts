/** What a farm weighs that has nothing to do: its coordinator and each of two buildlets, fresh and after work. */
import { CroftError } from '@croft/runtime/errors';
import { startFarm, type FarmProcess } from '../farm-process.ts';
import { memoryIsKnown, pssMB } from '../process-memory.ts';
import type { Bench, Measurement, Row } from '../row.ts';
import { createSampleRepository } from '../sample-repository.ts';

const restMs = 30_000;
const looks = 5;
const lookMs = 500;
const builds = 20;
const goalCoordinatorMB = 120;
const goalBuildletMB = 60;

export const memory: Row = { name: 'memory', about: 'PSS at rest, two buildlets up', run };

async function run(bench: Bench): Promise<Measurement[]> {
  if (!memoryIsKnown) throw new CroftError('unavailable', 'only Linux tells how much memory a process has to itself (PSS)');
  const { signal, progress } = bench;
  const repo = await createSampleRepository(bench.dir, signal);
  const options = { repo, depth: builds, buildlets: 2, argv: ['sh', '-c', 'echo hello'] };
  await (await startFarm(options, bench))[Symbol.asyncDispose](); // the first start keeps what it compiled for all others
  await using farm = await startFarm(options, bench);
  progress('at rest, fresh');
  const fresh = await weigh(farm, bench);
  await repo.moveTo((await repo.addCommits(builds)).at(-1) ?? '');
  const { queued } = await farm.client.call('repo.notify', { params: { repo: 'sample' }, signal });
  progress(`${queued.length} builds`);
  for (const build of queued) await farm.passed(build);
  progress('at rest, after work');
  const used = await weigh(farm, bench);
  return [
    { what: 'coordinator, fresh', unit: 'MB', samples: fresh.coordinator, goal: goalCoordinatorMB },
    { what: 'a buildlet, fresh', unit: 'MB', samples: fresh.buildlets, goal: goalBuildletMB },
    { what: `coordinator, after ${builds} builds`, unit: 'MB', samples: used.coordinator, goal: goalCoordinatorMB },
    { what: `a buildlet, after ${builds / 2} builds`, unit: 'MB', samples: used.buildlets, goal: goalBuildletMB },
  ];
}

async function weigh(farm: FarmProcess, { clock, signal }: Bench): Promise<{ coordinator: number[]; buildlets: number[] }> {
  await clock.sleep(restMs, { signal });
  const coordinator: number[] = [];
  const buildlets: number[] = [];
  for (let look = 0; look < looks; look += 1) {
    coordinator.push(await pssMB(farm.coordinatorPid));
    for (const pid of await farm.buildletPids()) buildlets.push(await pssMB(pid));
    await clock.sleep(lookMs, { signal });
  }
  return { coordinator, buildlets };
}

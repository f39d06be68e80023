/** From the word that there is a new commit to its stored verdict, on an idle farm. */
import { join } from 'node:path';
import type { BuildDetail } from '@croft/protocol/api';
import { followFarm } from '../farm-events.ts';
import { startFarm } from '../farm-process.ts';
import { runProgram } from '../programs.ts';
import type { Bench, Measurement, Row } from '../row.ts';
import { createSampleRepository } from '../sample-repository.ts';

const warmUps = 5;
const rounds = 30;
const goalMs = 150;
/** Between two builds, so that the farm is idle again, ms. */
const restMs = 100;

export const verdict: Row = { name: 'verdict', about: 'new commit notified to stored verdict, 300 files, one step `echo hello`', run };

/** What a person would write: a fresh clone of the commit, the command in it, its output in a file. */
const loopBody = 'git clone -q "$1" "$2/tree" && git -C "$2/tree" checkout -q "$3" && (cd "$2/tree" && sh -c "echo hello") >"$2/log" 2>&1';

async function run(bench: Bench): Promise<Measurement[]> {
  const { clock, signal } = bench;
  const repo = await createSampleRepository(bench.dir, signal);
  const revisions = await repo.addCommits(warmUps + rounds);
  await using farm = await startFarm({ repo, depth: 1, buildlets: 1, argv: ['sh', '-c', 'echo hello'] }, bench);
  await using events = await followFarm(farm, bench);
  const ours: number[] = [];
  const loop: number[] = [];
  const phases: Phases[] = [];
  for (const [n, revision] of revisions.entries()) {
    bench.progress(`commit ${n + 1} of ${revisions.length}`);
    await repo.moveTo(revision);
    await clock.sleep(restMs, { signal });
    const startedAt = clock.monotonic();
    const notifiedAt = clock.now();
    const { queued } = await farm.client.call('repo.notify', { params: { repo: 'sample' }, signal });
    const build = queued[0] ?? '';
    const elapsedMs = (await events.heardEnd(build)) - startedAt;
    const loopMs = await timeLoop(repo.path, revision, { bench, n });
    if (n < warmUps) continue;
    ours.push(elapsedMs);
    loop.push(loopMs);
    phases.push(phasesOf(await farm.passed(build), notifiedAt));
  }
  const peer = { what: 'shell loop', samples: loop };
  return [{ what: 'notified to verdict', unit: 'ms', samples: ours, goal: goalMs, peer }, ...tell(phases)];
}

async function timeLoop(repo: string, revision: string, { bench, n }: { bench: Bench; n: number }): Promise<number> {
  const { signal, clock } = bench;
  const place = join(bench.dir, `loop-${n}`);
  await runProgram(['mkdir', place], { signal });
  const startedAt = clock.monotonic();
  await runProgram(['sh', '-c', loopBody, 'sh', repo, place, revision], { signal });
  const elapsedMs = clock.monotonic() - startedAt;
  await runProgram(['rm', '-rf', place], { signal });
  return elapsedMs;
}

type Phases = Readonly<Record<'found' | 'leased' | 'source' | 'command' | 'ended', number>>;

/** As the farm wrote it down, to the millisecond. */
function phasesOf({ createdAt, attemptList }: BuildDetail, notifiedAt: number): Phases {
  const attempt = attemptList[0];
  const [source, command] = attempt?.steps ?? [];
  return {
    found: createdAt - notifiedAt,
    leased: (attempt?.startedAt ?? NaN) - createdAt,
    source: (source?.endedAt ?? NaN) - (attempt?.startedAt ?? NaN),
    command: (command?.endedAt ?? NaN) - (source?.endedAt ?? NaN),
    ended: (attempt?.endedAt ?? NaN) - (command?.endedAt ?? NaN),
  };
}

function tell(phases: readonly Phases[]): Measurement[] {
  const of = (what: string, phase: keyof Phases): Measurement => ({
    what: `  ${what}`,
    unit: 'ms',
    samples: phases.map((each) => each[phase]),
  });
  return [
    of('found and queued', 'found'),
    of('given to a machine', 'leased'),
    of('planned, tree there', 'source'),
    of('command ended, log stored', 'command'),
    of('attempt ended', 'ended'),
  ];
}

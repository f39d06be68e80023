/** From the moment at which a forge says that somebody has pushed until the build of it runs, on an idle farm. */
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { buildId } from '@croft/domain/job';
import { parseBuilderName, parseRepoName, parseRevision } from '@croft/domain/names';
import { CroftError } from '@croft/runtime/errors';
import { followFarm } from '../farm-events.ts';
import { startFarm } from '../farm-process.ts';
import type { Bench, Measurement, Row } from '../row.ts';
import { createSampleRepository } from '../sample-repository.ts';

const warmUps = 5;
const rounds = 30;
const goalMs = 100;
/** Between two builds, so that the farm is idle again, ms. */
const restMs = 100;
const secret = 'known to the forge and the farm';
const repo = parseRepoName('sample');
const builder = parseBuilderName('bench');

export const hook: Row = { name: 'hook', about: 'a push told at /hooks to its build on a machine, 300 files', run };

async function run(bench: Bench): Promise<Measurement[]> {
  const { clock, dir, signal } = bench;
  const source = await createSampleRepository(dir, signal);
  const revisions = await source.addCommits(warmUps + rounds);
  const secretFile = join(dir, 'hook.secret');
  await writeFile(secretFile, secret, { mode: 0o600 });
  const config = {
    secrets: [{ name: 'hooks', file: secretFile }],
    repos: [{ name: repo, url: source.path, depth: 1, pollMs: 'never' as const, hookSecret: 'hooks' }],
    builders: [{ name: builder, repo, steps: [{ name: 'command', argv: ['sh', '-c', 'echo hello'] }] }],
    pools: [{ kind: 'local' as const, size: 1 }],
  };
  await using farm = await startFarm({ config, buildlets: 1 }, bench);
  await using events = await followFarm(farm, bench);
  const samples = { answered: [] as number[], leased: [] as number[], command: [] as number[] };
  for (const [n, text] of revisions.entries()) {
    bench.progress(`push ${n + 1} of ${revisions.length}`);
    const revision = parseRevision(text);
    const build = buildId({ builder, revisions: [{ repo, revision }], trigger: { kind: 'branch', ref: 'main' } });
    await source.moveTo(revision);
    await clock.sleep(restMs, { signal });
    const [toldAt, startedAt] = [clock.now(), clock.monotonic()];
    await tell(`${farm.url}/hooks/${repo}`, signal);
    const answeredMs = clock.monotonic() - startedAt;
    await events.heardEnd(build);
    const [attempt] = (await farm.passed(build)).attemptList;
    if (n < warmUps) continue;
    samples.answered.push(answeredMs);
    samples.leased.push((attempt?.startedAt ?? NaN) - toldAt);
    samples.command.push((attempt?.steps.at(-1)?.startedAt ?? NaN) - toldAt);
  }
  return [
    { what: 'told to started on a machine', unit: 'ms', samples: samples.leased, goal: goalMs },
    { what: '  told to its command started', unit: 'ms', samples: samples.command },
    { what: '  told to answered', unit: 'ms', samples: samples.answered },
  ];
}

async function tell(url: string, signal: AbortSignal): Promise<void> {
  const headers = { 'content-type': 'application/json', 'x-croft-token': secret };
  const response = await fetch(url, { method: 'POST', headers, body: '{"ref":"refs/heads/main"}', signal });
  if (response.status !== 202)
    throw new CroftError('unavailable', `the hook was answered with ${response.status}: ${await response.text()}`);
  await response.arrayBuffer();
}

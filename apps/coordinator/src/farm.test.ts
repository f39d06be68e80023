import assert from 'node:assert/strict';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { createBuildlet } from '@croft/buildlet/client';
import type { TestBuildlet } from '@croft/buildlet/testing';
import type { Pool } from '@croft/fleet/pool';
import type { BuildId } from '@croft/domain/names';
import { MINUTE, systemClock } from '@croft/runtime/clock';
import { CroftError } from '@croft/runtime/errors';
import { silentLog } from '@croft/runtime/log';
import { systemRandom } from '@croft/runtime/random';
import { FakeClock } from '@croft/runtime/testing';
import { attemptsOf } from '@croft/store/attempts';
import { getBuild } from '@croft/store/builds';
import { incarnate, machine, openBench, queueBuild, repo, step, type Bench } from './builds/testing.ts';
import { openSources } from './builds/source.ts';
import { readConfig } from '@croft/config/read-config';
import { createLiveConfig } from './configuration/live-config.ts';
import { createMetrics } from './events.ts';
import { keepSecrets } from '@croft/config/keep-secrets';
import { createFarm, type Farm } from './farm.ts';

/** A pool of the one buildlet that is there already. */
function onePool({ address }: TestBuildlet): Pool {
  const buildlet = createBuildlet(address, { clock: systemClock });
  return {
    name: 'test',
    reconcile: async (waits) => [
      { id: machine, hostType: 'test', labels: [], state: 'up', boot: (await buildlet.status(waits)).Croft?.boot },
    ],
    drain() {},
    connect: () => buildlet,
    replace: async () => assert.fail('the machine was never lost'),
    async endAll() {},
    [Symbol.asyncDispose]: () => buildlet[Symbol.asyncDispose](),
  };
}

async function openFarm(bench: Bench, pool: Pool): Promise<Farm & AsyncDisposable> {
  const config = readConfig({
    dataDir: bench.dir,
    lowWaterBytes: 0,
    logLevel: 'silent',
    repos: [{ name: repo, url: join(bench.dir, 'nowhere') }],
    builders: [{ name: bench.builder.name, repo, steps: [{ name: 'any', argv: ['true'] }] }],
  });
  const sources = openSources(config.repos, { dir: join(bench.dir, 'repos'), clock: bench.clock });
  const parts = {
    db: bench.db,
    blobs: bench.blobs,
    sources,
    pools: () => [pool],
    secrets: keepSecrets(new Map()),
    metrics: createMetrics(),
    version: 'test',
    clock: bench.clock,
    random: systemRandom,
    log: silentLog,
  };
  return createFarm(createLiveConfig(config, bench), parts);
}

async function ended({ db }: Bench, build: BuildId): Promise<void> {
  const deadline = systemClock.deadline(20_000);
  while ((await db.read((sql) => getBuild(sql, build)))?.state.kind !== 'ended') {
    if (deadline.aborted) throw new CroftError('timeout', 'the build has not ended');
    await systemClock.sleep(20);
  }
}

test('a build whose coordinator was down for ten minutes passes with a complete log and exactly one attempt', async () => {
  const clock = new FakeClock();
  await using bench = await openBench([step('slow', 'echo before; until [ -e "$WORKDIR/../go" ]; do sleep 0.05; done; echo after')], {
    clock,
  });
  const build = await queueBuild(bench, 'long down');
  const dying = incarnate(bench, { dieOn: 'pourOutput' });
  const work = await dying.records.assign(build, machine);
  assert.ok(work);
  dying.run(work).catch(() => undefined);
  await dying.died;
  await clock.advance(10 * MINUTE);
  await writeFile(join(bench.buildlet.workDir, '..', 'go'), '');

  await using pool = onePool(bench.buildlet);
  await using farm = await openFarm(bench, pool);
  farm.start();
  await ended(bench, build);

  const [stored, attempts] = await bench.db.read(async (sql) => [await getBuild(sql, build), await attemptsOf(sql, build)] as const);
  assert.deepEqual(stored?.state.kind === 'ended' && stored.state.end, { kind: 'passed' });
  assert.equal(attempts.length, 1);
  const log = await farm.capabilities.log(build, 1);
  assert.equal(Buffer.concat(await Array.fromAsync(log.read({ from: 0 }))).toString(), 'before\nafter\n');
});

import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Builder, Job } from '@croft/domain/job';
import type { StepState } from '@croft/domain/attempt';
import { systemClock } from '@croft/runtime/clock';
import { isCode } from '@croft/runtime/errors';
import { systemRandom } from '@croft/runtime/random';
import { getBuild } from '@croft/store/builds';
import { createRecords, type Records } from './records.ts';
import { machine, openBench, queueBuild, step, type Bench } from './testing.ts';

function recordsOf({ db }: Bench, builders: () => readonly Builder[], isOpen?: () => boolean): Records {
  const metrics = { attemptEnded() {}, buildEnded() {} };
  return createRecords(db, { builders, clock: systemClock, random: systemRandom, metrics, onMove() {}, ...(isOpen ? { isOpen } : {}) });
}

function jobOf({ name }: Builder): Job {
  const rest = { revisions: [], trigger: { kind: 'branch', ref: 'main' }, configHash: '', env: {}, needs: { labels: [] } } as const;
  return { owner: { kind: 'builder', name }, steps: [step('one', 'true')], isolation: 'none', trust: 'trusted', artifacts: [], ...rest };
}

test('an attempt goes on without its builder from the moment its tree is there', async () => {
  await using bench = await openBench([]);
  let builders: readonly Builder[] = [bench.builder];
  const records = recordsOf(bench, () => builders);
  const work = (await records.assign(await queueBuild(bench, 'goes on'), machine)) ?? assert.fail();
  await records.plan(work, jobOf(bench.builder), 'for the test');
  builders = [];
  assert.deepEqual((await records.load(work)).cancel, { by: 'croft', why: 'builder test is not configured any more' });
  const tree: StepState = { kind: 'ended', startedAt: 1, endedAt: 2, logFrom: 0, logTo: 0, exit: { kind: 'exited', code: 0 } };
  await records.saveStep(work, 0, tree);
  assert.equal((await records.load(work)).cancel, undefined);
});

test('what would run again after its builder was removed ends as skipped, and cannot be retried until that is back', async () => {
  await using bench = await openBench([]);
  let builders: readonly Builder[] = [];
  const records = recordsOf(bench, () => builders);
  const id = await queueBuild(bench, 'removed');
  const work = (await records.assign(id, machine)) ?? assert.fail();
  await records.finish(work, { kind: 'infra', cause: 'machine-lost', evidence: 'for the test' }, undefined);
  const build = await bench.db.read((sql) => getBuild(sql, id));
  assert.deepEqual(build?.state.kind === 'ended' && build.state.end, { kind: 'skipped', why: 'builder test is not configured any more' });
  await assert.rejects(records.retry(id), (error) => isCode(error, 'conflict') && /test is not configured any more/.test(String(error)));
  builders = [bench.builder];
  assert.equal((await records.retry(id)).state.kind, 'queued');
});

test('a machine that takes no work is given to nobody, however late that is known', async () => {
  await using bench = await openBench([]);
  const records = recordsOf(
    bench,
    () => [bench.builder],
    () => false,
  );
  assert.equal(await records.assign(await queueBuild(bench, 'closed'), machine), undefined);
});

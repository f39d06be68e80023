import assert from 'node:assert/strict';
import { mkdtemp, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import type { Builder } from '@croft/domain/job';
import { parseBuilderName, parseLeaseId, parseMachineId, type BuildId } from '@croft/domain/names';
import { DAY } from '@croft/runtime/clock';
import { CroftError, isCode } from '@croft/runtime/errors';
import { silentLog } from '@croft/runtime/log';
import { FakeClock } from '@croft/runtime/testing';
import { endAttemptRow, getAttempt, insertAttempt } from '@croft/store/attempts';
import { openDatabase, type Database } from '@croft/store/database';
import { completeLog, setLogLength } from '@croft/store/logs';
import { createAttemptLogs } from './attempt-logs.ts';
import { retainLogs, type RetainDeps } from './retain-logs.ts';

interface Stage extends AsyncDisposable {
  readonly db: Database;
  readonly clock: FakeClock;
  readonly deps: RetainDeps;
  /** Stores the log of an attempt that ends now; its name. */
  add(builder: string, bytes: number): Promise<string>;
  /** Names of the logs whose bytes are there, and of those that the database promises. */
  left(): Promise<{ stored: string[]; promised: string[] }>;
}

async function openStage(builders: readonly Pick<Builder, 'name' | 'retention'>[]): Promise<Stage> {
  await using stack = new AsyncDisposableStack();
  const dir = await mkdtemp(join(tmpdir(), 'croft-retain-'));
  stack.defer(() => rm(dir, { recursive: true }));
  const db = stack.use(await openDatabase({ url: `sqlite:${join(dir, 'croft.db')}`, durability: 'kill', log: silentLog }));
  const clock = new FakeClock();
  const logs = createAttemptLogs(join(dir, 'logs'), { clock, onStored() {} });
  const added: BuildId[] = [];
  const owned = stack.move();
  return {
    db,
    clock,
    deps: { db, logs, builders: () => builders, clock, log: silentLog },
    async add(builder, bytes) {
      await clock.advance(1_000);
      const build = `B${String(added.push('' as BuildId)).padStart(16, '0')}` as BuildId;
      added[added.length - 1] = build;
      await using log = (await logs.resume({ build, attempt: 1 }, 0)) ?? assert.fail();
      await log.append(Buffer.alloc(bytes, 'x'));
      const done = await log.complete();
      const ref = { build, number: 1 };
      await db.write(async (sql) => {
        const lease = parseLeaseId('L0123456789abcdef');
        const at = clock.now();
        await insertAttempt(sql, {
          ...ref,
          builder: parseBuilderName(builder),
          startedAt: at,
          machine: parseMachineId('m-1'),
          lease,
          epoch: 1,
        });
        await setLogLength(sql, ref, done);
        await completeLog(sql, ref, done);
        await endAttemptRow(sql, ref, { end: { kind: 'passed' }, at });
      });
      return build;
    },
    async left() {
      const stored = (await readdir(join(dir, 'logs'), { recursive: true })).filter((path) => path.split('/').length === 3);
      const promised: string[] = [];
      for (const build of added) {
        if ((await db.read((sql) => getAttempt(sql, { build, number: 1 })))?.log.state === 'complete') promised.push(build);
      }
      return { stored: stored.map((path) => path.split('/')[1] ?? '').toSorted(), promised };
    },
    [Symbol.asyncDispose]: () => owned.disposeAsync(),
  };
}

const unit = { name: parseBuilderName('unit'), retention: { logAgeMs: 10 * DAY, logBytes: 250, artifactBytes: 1e9 } };

test('logs go when they are too old, and the oldest when a builder has too many bytes; those of others stay', async () => {
  await using stage = await openStage([unit]);
  const old = await stage.add('unit', 10);
  const removed = await stage.add('removed', 10);
  await stage.clock.advance(10 * DAY);
  const [first, second, third] = [await stage.add('unit', 100), await stage.add('unit', 100), await stage.add('unit', 100)];
  assert.equal(await retainLogs(stage.deps, {}), 2);
  const kept = [removed, second, third];
  assert.deepEqual(await stage.left(), { stored: kept, promised: kept });
  assert.ok(![old, first].some((gone) => kept.includes(gone)));
  assert.equal(await retainLogs(stage.deps, {}), 0);
  await stage.clock.advance(81 * DAY);
  assert.equal(await retainLogs(stage.deps, {}), 3, 'those of a builder that is not configured any more go by the usual limits');
});

test('killed between the disk and the database, the next sweep leaves nothing behind', async () => {
  await using stage = await openStage([unit]);
  await stage.add('unit', 300);
  const db: Database = { ...stage.db, write: async () => Promise.reject(new CroftError('unavailable', 'killed here')) };
  await assert.rejects(retainLogs({ ...stage.deps, db }, {}), (error) => isCode(error, 'unavailable'));
  assert.equal(await retainLogs(stage.deps, {}), 1);
  assert.deepEqual(await stage.left(), { stored: [], promised: [] });
});

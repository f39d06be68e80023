import assert from 'node:assert/strict';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { buildId } from '@croft/domain/job';
import {
  parseBuilderName,
  parseMachineId,
  parseRepoName,
  parseRevision,
  type BuildId,
  type MachineId,
  type SessionId,
} from '@croft/domain/names';
import type { Plan } from '@croft/domain/schedule';
import { CroftError } from '@croft/runtime/errors';
import { silentLog } from '@croft/runtime/log';
import { systemRandom } from '@croft/runtime/random';
import { createBell, createTaskGroup } from '@croft/runtime/tasks';
import { FakeClock } from '@croft/runtime/testing';
import { insertBuild } from '@croft/store/builds';
import { openDatabase, type Database } from '@croft/store/database';
import { upsertMachine } from '@croft/store/machines';
import type { WatchedMachine } from '../machines/watch-machines.ts';
import { createSessionRecords } from '../sessions/session-records.ts';
import { createRecords } from './records.ts';
import { keepScheduling, planNow, type ScheduleDeps } from './schedule.ts';
import type { Work } from './work.ts';

const repo = parseRepoName('app');
const unit = parseBuilderName('unit');
const ids = ['m-1', 'm-2', 'm-3'].map(parseMachineId);

interface Stage extends AsyncDisposable {
  readonly db: Database;
  readonly clock: FakeClock;
  readonly deps: ScheduleDeps;
  readonly started: Work[];
  /** Loans that were made. */
  readonly lent: Plan['lend'][number][];
  queue(builder: string, count: number): Promise<BuildId[]>;
  /** Somebody asks for machines. */
  borrow(count: number): Promise<SessionId[]>;
  /** Begins to schedule; `assign` stands before the true one. */
  start(assign?: (assignment: Plan['assign'][number]) => void): { ring(): void };
}

async function openStage({ machines = ids, lowDisk = false, hold = undefined as string | undefined } = {}): Promise<Stage> {
  await using stack = new AsyncDisposableStack();
  const dir = await mkdtemp(join(tmpdir(), 'croft-schedule-'));
  stack.defer(() => rm(dir, { recursive: true, force: true }));
  const db = stack.use(await openDatabase({ url: `sqlite:${join(dir, 'croft.db')}`, durability: 'kill', log: silentLog }));
  const clock = new FakeClock();
  const watched = machines.map((id): WatchedMachine => {
    const observed = { id, hostType: 'test', labels: [], state: 'up', lowDisk } as const;
    return { observed, pool: 'test', seenAt: clock.now() };
  });
  for (const id of machines) {
    await db.write((sql) => upsertMachine(sql, { id, pool: 'test', hostType: 'test', labels: [], address: null, at: clock.now() }));
  }
  const metrics = { attemptEnded() {}, buildEnded() {} };
  const records = createRecords(db, { builders: () => [], clock, random: systemRandom, metrics, onMove() {} });
  const deps: ScheduleDeps = { db, clock, machines: () => watched, builders: () => [{ name: unit }], hold: () => hold };
  const tasks = stack.use(createTaskGroup((_, error) => assert.fail(String(error))));
  const started: Work[] = [];
  const lent: Stage['lent'] = [];
  const loans = createSessionRecords(db, {
    limits: () => ({ idleMs: 1e6, longestMs: 1e9, perPerson: 9 }),
    isOpen: () => true,
    clock,
    random: systemRandom,
    onMove() {},
  });
  const owned = stack.move();
  return {
    db,
    clock,
    deps,
    started,
    lent,
    async queue(name, count) {
      const builder = parseBuilderName(name);
      const keys = Array.from({ length: count }, (_, n) => {
        const revision = parseRevision(n.toString(16).padStart(40, '0'));
        return { builder, revisions: [{ repo, revision }], trigger: { kind: 'branch', ref: 'main' } } as const;
      });
      await db.write(async (sql) => {
        for (const key of keys) {
          await insertBuild(sql, { ...key, id: buildId(key), band: 'post-submit', needs: { labels: [] }, createdAt: clock.now() });
        }
      });
      return keys.map(buildId);
    },
    async borrow(count) {
      const wish = { owner: 'ann', builder: unit, repos: [repo], needs: { labels: [] }, from: { kind: 'asked' }, note: '' } as const;
      const asked = Array.from({ length: count }, () => loans.create(wish));
      return (await Promise.all(asked)).map(({ id }) => id);
    },
    start(before = () => undefined) {
      const bell = createBell();
      const assign = async (assignment: Plan['assign'][number]): Promise<Work | undefined> => {
        before(assignment);
        return records.assign(assignment.build, assignment.machine);
      };
      const drivers = { start: (work: Work) => void started.push(work) };
      const lend = async (loan: Plan['lend'][number]): Promise<boolean> => {
        lent.push(loan);
        return loans.assign(loan.session, loan.machine);
      };
      tasks.start('schedule', (waits) => keepScheduling(deps, { bell, assign, lend, drivers, log: silentLog }, waits));
      return bell;
    },
    [Symbol.asyncDispose]: () => owned.disposeAsync(),
  };
}

const onMachines = (works: readonly Work[]): MachineId[] => works.map((work) => work.lease.machine).toSorted();

test('waiting builds get the free machines, one each, and the others as machines come free', async () => {
  await using stage = await openStage();
  const builds = await stage.queue('unit', 5);
  stage.start();
  await stage.clock.advance(5_000);
  assert.deepEqual(onMachines(stage.started), ids);
  assert.deepEqual(stage.started.map((work) => work.build).toSorted(), builds.slice(0, 3).toSorted());
});

test('many builds of a builder that is not configured any more stand in nobody’s way', async () => {
  await using stage = await openStage();
  await stage.queue('removed', 250);
  const [build] = await stage.queue('unit', 1);
  assert.deepEqual(
    (await planNow(stage.deps)).assign.map((assignment) => assignment.build),
    [build],
  );
});

test('an assignment that fails keeps no other from its driver and is tried again', async () => {
  await using stage = await openStage();
  await stage.queue('unit', 3);
  let failures = 0;
  stage.start(({ machine }) => {
    if (machine === ids[1] && (failures += 1) === 1) throw new CroftError('unavailable', 'the database is gone');
  });
  await stage.clock.advance(100);
  assert.deepEqual(onMachines(stage.started), [ids[0], ids[2]]);
  await stage.clock.advance(2_000);
  assert.deepEqual(onMachines(stage.started), ids);
});

test('a ring makes it look at once', async () => {
  await using stage = await openStage();
  const bell = stage.start();
  await stage.clock.advance(10);
  await stage.queue('unit', 1);
  bell.ring();
  await stage.clock.advance(10);
  assert.equal(stage.started.length, 1);
});

test('a hold and a machine with a full disk are told as what they are', async () => {
  const textOf = async ({ deps }: Stage, build: BuildId | undefined): Promise<string | undefined> =>
    build && (await planNow(deps)).reasons.get(build)?.text;
  await using held = await openStage({ hold: 'no new builds: 0.1 GB free' });
  assert.equal(await textOf(held, (await held.queue('unit', 1))[0]), 'no new builds: 0.1 GB free');
  await using low = await openStage({ machines: ids.slice(0, 1), lowDisk: true });
  assert.equal(await textOf(low, (await low.queue('unit', 1))[0]), '0 of 1 machines take work: m-1 has too little free disk space');
});

test('SCHED-2, check 4: sessions get the free machines before builds, their positions fall, and none is lent twice', async () => {
  await using stage = await openStage();
  const builds = await stage.queue('unit', 3);
  const sessions = await stage.borrow(4);
  const positions = async (): Promise<(number | undefined)[]> => {
    const { reasons } = await planNow(stage.deps);
    return [...sessions, ...builds].map((id) => reasons.get(id)?.position);
  };
  const none = undefined;
  assert.deepEqual(await positions(), [none, none, none, 0, 1, 2, 3]);
  stage.start();
  await stage.clock.advance(3_000);
  assert.deepEqual([stage.lent.length, stage.started.length], [3, 0]);
  assert.deepEqual(await positions(), [none, none, none, 0, 1, 2, 3]);
});

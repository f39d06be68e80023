/**
 * The work of the coordinator without its doors: what runs by itself (finding, scheduling, driving, watching, retaining) and the
 * capabilities that pages and programs call.
 */
import { join } from 'node:path';
import { SECOND, type Clock, type Waits } from '@croft/runtime/clock';
import type { Log } from '@croft/runtime/log';
import type { Random } from '@croft/runtime/random';
import { createBell, createTaskGroup } from '@croft/runtime/tasks';
import type { Pool } from '@croft/fleet/pool';
import type { Database } from '@croft/store/database';
import { markMachine, upsertMachine } from '@croft/store/machines';
import { countQueuedByBand } from '@croft/store/build-lists';
import { createAdoption } from './builds/adopt-builds.ts';
import { createDrivers } from './builds/drive-builds.ts';
import { createFinder } from './builds/find-loop.ts';
import { createWorkRecords } from './builds/record-found.ts';
import { createRecords } from './builds/records.ts';
import { keepScheduling, type ScheduleDeps } from './builds/schedule.ts';
import type { Sources } from './builds/source.ts';
import { createChanges } from './changes.ts';
import type { Capabilities } from './capabilities.ts';
import type { Config } from './config.ts';
import type { Metrics } from './events.ts';
import { createCapabilities } from './coordinator-capabilities.ts';
import { holdText, readDisk } from './disk.ts';
import { createAttemptLogs } from './logs/attempt-logs.ts';
import { keepRetainingLogs } from './logs/retain-logs.ts';
import { watchMachines } from './machines/watch-machines.ts';

export interface FarmParts {
  readonly db: Database;
  readonly sources: Sources;
  readonly pools: readonly Pool[];
  readonly metrics: Metrics;
  readonly version: string;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
}

export interface Farm extends AsyncDisposable {
  readonly capabilities: Capabilities;
  /** Begins to work: takes over what ran before, then finds, schedules and drives. */
  start(): void;
  /** From now on disposal ends machines and attempts instead of detaching from them. */
  endOnDispose(): void;
}

const diskMs = 5 * SECOND;
const endMs = 15 * SECOND;

export async function createFarm(config: Config, { db, sources, pools, metrics, version, clock, random, log }: FarmParts): Promise<Farm> {
  const { builders } = config;
  const startedAt = clock.now();
  const changes = createChanges();
  const scheduleBell = createBell();
  const logs = createAttemptLogs(join(config.dataDir, 'logs'), { clock, onStored: metrics.logStored });
  let disk = await readDisk(config.dataDir, config.lowWaterBytes);
  let adopted = false;
  let ending = false;

  const hold = (): string | undefined => (disk.ok ? undefined : holdText(disk));
  const wake = (): void => {
    scheduleBell.ring();
    changes.tell({ kind: 'farm' });
  };
  const records = createRecords(db, {
    ...{ builders, clock, random, metrics },
    onMove(id) {
      changes.tell({ kind: 'build', id });
      wake();
    },
  });
  const machines = watchMachines(
    pools,
    {
      onUp: (pool, { id, hostType, labels, boot }) =>
        db.write((sql) => upsertMachine(sql, { id, pool, hostType, labels, boot, address: null, at: clock.now() })),
      onAway: ({ id, state, evidence = state }) => db.write((sql) => markMachine(sql, id, { state: 'away', at: clock.now(), evidence })),
      onLost: (id, evidence) => adoption.giveUpMachine(id, evidence),
      onChange: wake,
    },
    { clock, log },
  );
  const drivers = createDrivers({
    farm: {
      ...{ records, logs, clock, random, log },
      source: sources.forBuilds,
      connect: (machine) => machines.connect(machine),
      onUnreachable: () => machines.look(),
      outputLimitBytes: config.outputLimitBytes,
    },
    ...{ clock, random, log },
    onEnd: wake,
  });
  const adoption = createAdoption({ db, records, logs, drivers, builders, machines, clock, log });
  const finder = createFinder({
    ...{ sources, builders, clock, log },
    records: createWorkRecords(db, clock),
    onQueued(repo, queued) {
      if (queued.length === 0) return;
      log.info('builds queued', { repo, builds: queued.length });
      changes.tell({ kind: 'commits', repo });
      wake();
    },
  });
  const schedule: ScheduleDeps = { db, hold, clock, machines: machines.list, builders: new Set(builders.map((builder) => builder.name)) };
  const capabilities = createCapabilities({
    ...{ db, builders, records, drivers, finder, logs, changes, schedule, wake },
    repos: config.repos.map((repo) => repo.name),
    facts: async () => ({ version, startedAt, hold: hold(), disk, watched: machines.list() }),
    ready() {
      const reasons = [hold(), adopted ? undefined : 'still taking over what ran before'].filter((reason) => reason !== undefined);
      return { ready: reasons.length === 0, reasons };
    },
  });
  const watchDisk = async (waits: Waits): Promise<void> => {
    for (;;) {
      const before = disk.ok;
      disk = await readDisk(config.dataDir, config.lowWaterBytes);
      if (disk.ok !== before) wake();
      await clock.sleep(diskMs, waits);
    }
  };
  metrics.observe(async () => ({
    queue: await db.read(countQueuedByBand),
    machines: Object.fromEntries(Map.groupBy((await capabilities.farm()).machines, (machine) => machine.state).entries().map(([state, all]) => [state, all.length])),
  }));
  const tasks = createTaskGroup((name, error) => log.error('background work stopped', { task: name, error }));
  return {
    capabilities,
    start() {
      tasks.start('disk', watchDisk);
      tasks.start('find', (waits) => finder.run(waits));
      tasks.start('retention', (waits) => keepRetainingLogs({ db, logs, builders, clock, log }, waits));
      tasks.start('work', async (waits) => {
        await machines.check(waits);
        await adoption.adopt();
        adopted = true;
        tasks.start('machines', (inner) => machines.run(inner));
        tasks.start('leases', (inner) => adoption.keepSweeping(inner));
        await keepScheduling(schedule, { bell: scheduleBell, assign: ({ build, machine }) => records.assign(build, machine), drivers, log }, waits);
      });
    },
    endOnDispose() {
      ending = true;
    },
    async [Symbol.asyncDispose]() {
      await tasks[Symbol.asyncDispose]();
      if (ending) {
        await adoption.giveUpAll();
        const signal = clock.deadline(endMs);
        await Promise.all(pools.map((pool) => pool.endAll({ signal })));
      }
      await drivers[Symbol.asyncDispose]();
    },
  };
}

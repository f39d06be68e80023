/**
 * The work of the coordinator without its doors: what runs by itself (finding, scheduling, driving, watching, retaining) and the
 * capabilities that pages and programs call.
 */
import { join } from 'node:path';
import { HOUR, SECOND, type Clock } from '@croft/runtime/clock';
import type { Log } from '@croft/runtime/log';
import type { Random } from '@croft/runtime/random';
import { createBell, createTaskGroup, type Bell, type TaskGroup } from '@croft/runtime/tasks';
import type { BlobStore } from '@croft/blobs/blobs';
import type { FarmConfig } from '@croft/config/farm-config';
import type { Pool } from '@croft/fleet/pool';
import type { Database } from '@croft/store/database';
import type { BuildId, MachineId, SessionId } from '@croft/domain/names';
import { liveness } from '@croft/domain/lease';
import type { Plan } from '@croft/domain/schedule';
import { createAdoption, type Adoption } from './builds/adopt-builds.ts';
import { createDrivers, type Drivers } from './builds/drive-builds.ts';
import { createFinder, type Finder } from './builds/find-loop.ts';
import type { LiveConfig } from './configuration/live-config.ts';
import { settleWaiting } from './configuration/settle-waiting.ts';
import { createWorkRecords } from './builds/record-found.ts';
import { createRecords, type Holds, type Records } from './builds/records.ts';
import { keepScheduling, planNow, whyClosed, type ScheduleDeps } from './builds/schedule.ts';
import type { Sources } from './builds/source.ts';
import type { FarmDeps, Work } from './builds/work.ts';
import { createCacheRecords } from './caches/cache-records.ts';
import { createChanges, type Changes } from './changes.ts';
import type { Capabilities } from './capabilities.ts';
import type { Metrics } from './events.ts';
import { factsOf, observe, readiness, silenceOf } from './farm-facts.ts';
import { createCapabilities } from './coordinator-capabilities.ts';
import { createOriginals } from './originals/originals.ts';
import { openDisk, type Disk } from './disk.ts';
import { createAttemptLogs, type AttemptLogs } from './logs/attempt-logs.ts';
import { keepDoing, doOnce, type Regular } from './keep-doing.ts';
import { retainArtifacts } from './artifacts/retain-artifacts.ts';
import { retainLogs } from './logs/retain-logs.ts';
import { createMachineCare, holdDrained } from './machines/machine-care.ts';
import { createSelfTests, type SelfTests } from './machines/self-tests.ts';
import { createMachines } from './machines/stored-machines.ts';
import type { Machines } from './machines/watch-machines.ts';
import { openLending, type Lending } from './sessions/open-lending.ts';
import { retainSessions } from './sessions/retain-sessions.ts';
import type { SecretKeeper } from '@croft/config/keep-secrets';

export interface FarmParts {
  readonly db: Database;
  readonly sources: Sources;
  /** Those that there are at the moment. */
  readonly pools: () => readonly Pool[];
  readonly blobs: BlobStore;
  readonly secrets: SecretKeeper;
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
  /** The configuration has changed: what waits, what is found and the machines come to agree with it. */
  reconfigure(): void;
  /** Pages should look again. */
  tell(): void;
  /** Told of the doors once they are open. */
  readonly lending: Pick<Lending, 'sshAt' | 'knowPeople'>;
  /** From now on disposal ends machines and attempts instead of detaching from them. */
  endOnDispose(): void;
}

const endMs = 15 * SECOND;

export async function createFarm(live: LiveConfig, parts: FarmParts): Promise<Farm> {
  const { db, metrics, clock, log } = parts;
  const changes = createChanges();
  const scheduleBell = createBell();
  const settleBell = createBell();
  const config = live.current;
  const disk = await openDisk({ path: config().dataDir, lowWater: () => config().lowWaterBytes });
  let adopted = false;
  let ending = false;
  const wake = (): void => {
    scheduleBell.ring();
    changes.tell({ kind: 'farm' });
  };
  const works = createWorks(config, parts, { changes, wake, plan: () => planNow(schedule), settle: settleBell.ring });
  const { machines, selfTests, drivers, finder } = works;
  const builders = (): FarmConfig['builders'] => config().builders;
  const schedule: ScheduleDeps = { db, clock, hold: disk.hold, machines: machines.list, builders };
  const capabilities = createCapabilities({
    ...works,
    db,
    builders,
    changes,
    schedule,
    wake,
    repos: () => config().repos.map((repo) => repo.name),
    care: createMachineCare({ db, machines, clock }),
    clean: parts.secrets.clean,
    facts: factsOf(parts, { disk, machines, selfTests, drivers, live }),
    ...createOriginals(config, parts, { ...works, wake, tell: changes.tell }),
    async ready() {
      return readiness([disk.hold(), adopted ? undefined : 'still taking over what ran before', await silenceOf(db)]);
    },
  });
  metrics.observe(() => observe(db, machines));
  const tasks = createTaskGroup((name, error) => log.error('background work stopped', { task: name, error }));
  return {
    capabilities,
    start() {
      const onAdopted = (): void => void (adopted = true);
      startWork(tasks, { ...works, config, schedule, disk, scheduleBell, settleBell, wake, onAdopted }, parts);
    },
    reconfigure() {
      settleBell.ring();
      finder.reconfigure();
      machines.look();
      wake();
    },
    tell: () => changes.tell({ kind: 'farm' }),
    lending: works.lending,
    endOnDispose() {
      ending = true;
    },
    async [Symbol.asyncDispose]() {
      await tasks[Symbol.asyncDispose]();
      if (ending) await endAll(works, parts);
      await works.lending[Symbol.asyncDispose]();
      await drivers[Symbol.asyncDispose]();
    },
  };
}

interface Working extends Works {
  readonly config: () => FarmConfig;
  readonly schedule: ScheduleDeps;
  readonly disk: Disk;
  readonly scheduleBell: Bell;
  readonly settleBell: Bell;
  wake(): void;
  onAdopted(): void;
}

/** What the farm does by itself, each in a loop of its own. */
function startWork(tasks: TaskGroup, work: Working, parts: FarmParts): void {
  const { records, machines, drivers, adoption, finder, disk, wake, config } = work;
  const { log } = parts;
  const kept = { ...parts, logs: work.logs, builders: () => config().builders };
  const keep = (doing: Regular): void => tasks.start(doing.name, (waits) => keepDoing(doing, parts, waits));
  keep({ name: 'disk', everyMs: 5 * SECOND, act: async () => void ((await disk.look()) && wake()) });
  keep({ name: 'retention', everyMs: HOUR, act: async (waits) => void (await retainLogs(kept, waits)) });
  keep({ name: 'artifacts', everyMs: HOUR, act: async (waits) => void (await retainArtifacts(kept, waits)) });
  const sessions = { ...parts, keepMs: () => config().sessions.keepMs };
  keep({ name: 'old sessions', everyMs: HOUR, act: async (waits) => void (await retainSessions(sessions, waits)) });
  const settle = async (waits: { signal: AbortSignal }): Promise<void> => {
    const ended = await settleWaiting(config(), { ...parts, onMove: work.onMove }, waits);
    if (ended > 0) log.info('waiting builds ended', { builds: ended });
    wake();
  };
  tasks.start('settle', async (waits) => {
    for (;;) {
      await doOnce({ name: 'settle', act: settle }, parts, waits);
      await work.settleBell.wait(waits);
    }
  });
  tasks.start('find', (waits) => finder.run(waits));
  tasks.start('work', async (waits) => {
    await doOnce({ name: 'drained machines', act: () => holdDrained({ ...parts, machines }) }, parts, waits);
    await machines.check(waits);
    await doOnce({ name: 'adoption', act: () => adoption.adopt() }, parts, waits);
    work.onAdopted();
    tasks.start('machines', (inner) => machines.run(inner));
    tasks.start('sessions', (inner) => work.lending.run(inner));
    tasks.start('self-tests', (inner) => work.selfTests.run(machines, inner));
    keep({ name: 'sweep', firstMs: liveness.graceMs, everyMs: liveness.graceMs, act: () => adoption.sweep() });
    const assign = ({ build, machine }: Plan['assign'][number]): Promise<Work | undefined> => records.assign(build, machine);
    const lend = ({ session, machine }: Plan['lend'][number]): Promise<boolean> => work.lending.records.assign(session, machine);
    await keepScheduling(work.schedule, { bell: work.scheduleBell, assign, lend, drivers, log }, waits);
  });
}

/** Attempts first: once their ends are stored, nobody waits for the machines any more. These end even if nothing can be stored. */
async function endAll({ adoption, lending }: Works, { pools, clock, log }: FarmParts): Promise<void> {
  const giveUp = Promise.all([adoption.giveUpAll(), lending.endAll()]);
  await giveUp.catch((error: unknown) => log.error('attempts left to the next start', { error }));
  await Promise.all(pools().map((pool) => pool.endAll({ signal: clock.deadline(endMs) })));
}

interface Works {
  readonly records: Records;
  readonly machines: Machines;
  readonly selfTests: SelfTests;
  readonly drivers: Drivers;
  readonly adoption: Adoption;
  readonly finder: Finder;
  readonly lending: Lending;
  readonly logs: AttemptLogs;
  readonly blobs: BlobStore;
  /** A build has moved. */
  onMove(id: BuildId): void;
}

interface Told {
  readonly changes: Changes;
  wake(): void;
  plan(): Promise<Plan>;
  /** What waits may not be wanted any more. */
  settle(): void;
}

/** The parts that do the work, each told of the others. */
function createWorks(config: () => FarmConfig, parts: FarmParts, { changes, wake, plan, settle }: Told): Works {
  const { db, sources, clock, random, log, metrics } = parts;
  const builders = (): FarmConfig['builders'] => config().builders;
  const logs = createAttemptLogs(join(config().dataDir, 'logs'), { clock, onStored: metrics.logStored });
  const onMove = (id: BuildId): void => {
    lending.buildMoved(id);
    changes.tell({ kind: 'build', id });
    wake();
  };
  const isOpen = (id: MachineId): boolean =>
    machines.list().some(({ observed }) => observed.id === id && whyClosed(observed) === undefined);
  const holds: Holds = { pass: (sql, ended) => lending.holds.pass(sql, ended), passed: (session) => lending.holds.passed(session) };
  const records = createRecords(db, { builders, isOpen, clock, random, metrics, onMove, holds });
  const tools = (hostType: string): readonly string[] => config().hostTypes.find(({ name }) => name === hostType)?.tools ?? [];
  const selfTests = createSelfTests({ tools, clock, log });
  const giveUp = async (id: MachineId, evidence: string): Promise<void> => {
    await adoption.giveUpMachine(id, evidence);
    await lending.records.lose(id, evidence);
  };
  const machines = createMachines(parts, {
    wake() {
      selfTests.look();
      wake();
    },
    whyHeld: selfTests.whyHeld,
    onLost: giveUp,
  });
  const farm: FarmDeps = {
    records,
    logs,
    clock,
    random,
    log,
    secrets: parts.secrets,
    source: sources.forBuilds,
    blobs: parts.blobs,
    caches: createCacheRecords(db, { maxBytes: () => config().cacheBytes, clock }),
    connect: (machine) => machines.employ(machine),
    onUnreachable: () => machines.look(),
    get outputLimitBytes() {
      return config().outputLimitBytes;
    },
  };
  const onEnd = ({ lease }: Work): void => {
    machines.release(lease.machine);
    wake();
  };
  const drivers = createDrivers({ farm, clock, random, log, onEnd, onTrouble: ({ build }) => onMove(build) });
  const adoption = createAdoption({ db, records, logs, drivers, machines, clock, log, onForsaken: giveUp });
  const finder = openFinder(config, parts, { changes, wake, settle });
  const onSessionMove = (id: SessionId): void => {
    changes.tell({ kind: 'session', id });
    wake();
  };
  const lending = openLending({ ...parts, farm, machines, config, plan, isOpen, onMove: onSessionMove, watch: changes.watch });
  return { records, machines, selfTests, drivers, adoption, finder, lending, logs, blobs: parts.blobs, onMove };
}

function openFinder(config: () => FarmConfig, parts: FarmParts, { changes, wake, settle }: Omit<Told, 'plan'>): Finder {
  const { db, clock, log } = parts;
  const onFound = (repo: string, queued: readonly string[]): void => {
    changes.tell({ kind: 'commits', repo });
    if (queued.length === 0) return;
    log.info('builds queued', { repo, builds: queued.length });
    wake();
  };
  const onUnreadable = (repo: string): void => changes.tell({ kind: 'commits', repo });
  return createFinder({ ...parts, config, records: createWorkRecords(db, clock), onFound, onUnreadable, onOutdated: settle });
}

/**
 * What is stored about builds, and the only place that moves them: each function is one transaction that reads the state, lets
 * `@croft/domain` decide, and writes. Whatever a driver writes is fenced by the epoch of its lease in the same transaction.
 */
import { advance, type BuildEvent, type BuildState } from '@croft/domain/build';
import type { Builder, Job } from '@croft/domain/job';
import { parseLeaseId, runId, type BuilderName, type BuildId, type MachineId } from '@croft/domain/names';
import type { AttemptEnd } from '@croft/domain/outcome';
import type { Clock } from '@croft/runtime/clock';
import { CroftError, isCode } from '@croft/runtime/errors';
import type { Random } from '@croft/runtime/random';
import { attemptsOf, endAttemptRow, getAttempt, insertAttempt, planAttempt, type AttemptRef } from '@croft/store/attempts';
import { artifactsOf, insertArtifact } from '@croft/store/artifacts';
import { runningBuilds } from '@croft/store/build-lists';
import { getBuild, getBuildForUpdate, saveBuildState, type StoredBuild } from '@croft/store/builds';
import type { Database, Sql } from '@croft/store/database';
import { endLease, insertLease, leaseOfHolder, leaseOfMachine, takeOverLease, writeAsHolder } from '@croft/store/leases';
import { completeLog, expireLog, saveSegment, setLogLength } from '@croft/store/logs';
import { insertSteps, saveStepState, stepsOf } from '@croft/store/steps';
import type { Metrics } from '../events.ts';
import { waitable } from './waitable.ts';
import type { Session } from '@croft/store/sessions';
import type { EndedWork } from '../sessions/pass-machine.ts';
import { outside, type BuildRecords, type FinishedLog, type KeptArtifact, type Work } from './work.ts';

export interface Records extends BuildRecords {
  /** Leases the machine to the build and opens its next attempt; undefined when either is not free any more. */
  assign(build: BuildId, machine: MachineId): Promise<Work | undefined>;
  /** The running attempt under a new epoch: whoever drove it before is fenced off. Undefined when it does not run any more. */
  takeOver(build: BuildId, attempt?: number): Promise<Work | undefined>;
  /** Builds with an attempt that runs. */
  running(): Promise<StoredBuild[]>;
  /** The running attempt whose lease is on this machine. */
  workOn(machine: MachineId): Promise<Work | undefined>;
  cancel(build: BuildId, by: string, why: string): Promise<StoredBuild>;
  retry(build: BuildId): Promise<StoredBuild>;
}

export interface RecordsDeps {
  readonly builders: () => readonly Builder[];
  /** Whether the machine is given to anybody at the moment. */
  isOpen?(machine: MachineId): boolean;
  readonly clock: Clock;
  readonly random: Random;
  readonly metrics: Pick<Metrics, 'attemptEnded' | 'buildEnded'>;
  /** Called when a move of this build is durable. */
  onMove(build: BuildId): void;
  readonly holds?: Holds | undefined;
}

/** What becomes of the machine of an attempt that ends. */
export interface Holds {
  /** Within the transaction that ends it. @returns the session that has the machine now, or that has waited for it in vain */
  pass(sql: Sql, ended: EndedWork): Promise<Session | undefined>;
  /** That is durable. */
  passed(session: Session): void;
}

export function createRecords(
  db: Database,
  { builders, isOpen = () => true, clock, random, metrics, onMove, holds }: RecordsDeps,
): Records {
  const fenced = <T>(work: Work, write: (sql: Sql) => Promise<T>): Promise<T> => waitable(writeAsHolder(db, holdOf(work), write));
  const moved = async <T>(work: Work, write: (sql: Sql) => Promise<T>): Promise<T> => {
    const result = await fenced(work, write);
    onMove(work.build);
    return result;
  };
  const moveBuild = async <T>(build: BuildId, write: (sql: Sql) => Promise<T>): Promise<T> => {
    const result = await db.write(write);
    onMove(build);
    return result;
  };

  const count = (end: AttemptEnd, state: BuildState): void => {
    metrics.attemptEnded(end.kind);
    if (state.kind === 'ended') metrics.buildEnded(state.end.kind);
  };

  return {
    load: (work) => waitable(db.read((sql) => loadAttempt(sql, work, builders()))),
    plan: (work, job, reason) => moved(work, (sql) => planWork(sql, work, { job, reason })),
    saveStep: (work, index, state) => moved(work, (sql) => saveStepState(sql, { ...refOf(work), index }, state)),
    saveArtifact: (work, artifact) => moved(work, (sql) => noteArtifact(sql, work, { ...artifact, storedAt: clock.now() })),
    saveLogLength: (work, { bytes, lines }) => fenced(work, (sql) => setLogLength(sql, refOf(work), { bytes, lines })),
    async finish(work, end, log) {
      const at = clock.now();
      const { state, session } = await moved(work, (sql) => endWork(sql, work, { end, log, at, builders: builders(), holds }));
      if (session) holds?.passed(session);
      count(end, state);
    },
    assign: (build, machine) =>
      moveBuild(build, (sql) => assignBuild(sql, { build, machine, lease: `L${random.hex(8)}`, at: clock.now(), isOpen })),
    takeOver: (build, attempt) => db.write((sql) => takeOver(sql, build, attempt)),
    running: () => db.read(runningBuilds),
    workOn: (machine) => db.read((sql) => workOn(sql, machine)),
    cancel: (build, by, why) => moveBuild(build, (sql) => move(sql, build, { kind: 'cancel', at: clock.now(), by, why })),
    retry: (build) => moveBuild(build, (sql) => retryBuild(sql, build, { at: clock.now(), builders: builders() })),
  };
}

function refOf({ build, attempt }: Work): AttemptRef {
  return { build, number: attempt };
}

function holdOf({ lease }: Work): { lease: Work['lease']['id']; epoch: number } {
  return { lease: lease.id, epoch: lease.epoch };
}

async function move(sql: Sql, id: BuildId, event: BuildEvent): Promise<StoredBuild> {
  const build = await getBuildForUpdate(sql, id);
  const state = advance(build.state, event);
  await saveBuildState(sql, id, state);
  return { ...build, state };
}

async function retryBuild(sql: Sql, id: BuildId, { at, builders }: { at: number; builders: readonly Builder[] }): Promise<StoredBuild> {
  const build = await move(sql, id, { kind: 'retry', at });
  if (builders.some(({ name }) => name === build.builder)) return build;
  if ((await attemptsOf(sql, id)).at(-1)?.machine === outside) return build; // whoever told of it builds it again
  throw new CroftError('conflict', notConfigured(build.builder));
}

async function loadAttempt(sql: Sql, work: Work, builders: readonly Builder[]): ReturnType<BuildRecords['load']> {
  const build = await getBuild(sql, work.build);
  const attempt = await getAttempt(sql, refOf(work));
  if (!build || !attempt) throw new CroftError('not-found', `there is no attempt ${work.attempt} of build ${work.build}`);
  if (attempt.state.kind === 'ended') throw new CroftError('stale', `attempt ${work.attempt} of build ${work.build} has ended`);
  const builder = builders.find((candidate) => candidate.name === build.builder);
  const steps = await stepsOf(sql, refOf(work));
  const noted = (await artifactsOf(sql, work.build)).filter((artifact) => artifact.attempt === work.attempt);
  // Once the tree is there, everything else is stored with the attempt.
  const needed = steps[0]?.state.kind !== 'ended';
  const unwanted = builder || !needed ? undefined : { by: 'croft', why: notConfigured(build.builder) };
  return {
    builder,
    revisions: build.revisions,
    trigger: build.trigger,
    plan: attempt.job && { job: attempt.job, steps },
    logBytes: attempt.log.bytes,
    artifacts: new Map(noted.map(({ name, state }) => [name, state])),
    cancel: cancelOf(build.state) ?? unwanted,
  };
}

function notConfigured(builder: BuilderName): string {
  return `builder ${builder} is not configured any more`;
}

function cancelOf(state: BuildState): { by: string; why: string } | undefined {
  return state.kind === 'cancelling' ? { by: state.by, why: state.why } : undefined;
}

async function planWork(sql: Sql, work: Work, plan: { job: Job; reason: string }): Promise<void> {
  await planAttempt(sql, refOf(work), plan);
  const source = { name: 'source', role: 'setup' } as const;
  const steps = [source, ...plan.job.steps].map(({ name, role }) => ({ name, role, run: runId(work.build, work.attempt, name) }));
  await insertSteps(sql, refOf(work), steps);
}

async function noteArtifact(sql: Sql, work: Work, artifact: KeptArtifact & { storedAt: number }): Promise<void> {
  const attempt = await getAttempt(sql, refOf(work));
  if (!attempt) throw new CroftError('not-found', `there is no attempt ${work.attempt} of build ${work.build}`);
  await insertArtifact(sql, { ...artifact, ...refOf(work), builder: attempt.builder });
}

interface Assignment {
  readonly build: BuildId;
  readonly machine: MachineId;
  readonly lease: string;
  readonly at: number;
  isOpen(machine: MachineId): boolean;
}

async function assignBuild(sql: Sql, { build: id, machine, lease: leaseText, at, isOpen }: Assignment): Promise<Work | undefined> {
  const build = await getBuildForUpdate(sql, id);
  if (build.state.kind !== 'queued' || !isOpen(machine)) return undefined;
  const state = advance(build.state, { kind: 'assigned', at });
  const number = state.attempts;
  const holder = { kind: 'attempt', id: `${id}.${number}` } as const;
  const lease = await insertLease(sql, { id: parseLeaseId(leaseText), machine, holder, at });
  if (!lease) return undefined;
  const { epoch } = lease.state;
  await insertAttempt(sql, { build: id, number, builder: build.builder, startedAt: at, machine, lease: lease.id, epoch });
  await saveBuildState(sql, id, state);
  return { build: id, attempt: number, lease: { id: lease.id, machine, epoch } };
}

async function takeOver(sql: Sql, id: BuildId, wanted?: number): Promise<Work | undefined> {
  const { state } = await getBuildForUpdate(sql, id);
  const attempt = state.attempts;
  if ((state.kind !== 'running' && state.kind !== 'cancelling') || attempt !== (wanted ?? attempt)) return undefined;
  const lease = await leaseOfHolder(sql, { kind: 'attempt', id: `${id}.${attempt}` });
  if (!lease) throw new CroftError('internal', `build ${id} runs without a lease`);
  const epoch = await takeOverLease(sql, lease.id);
  return { build: id, attempt, lease: { id: lease.id, machine: lease.machine, epoch } };
}

async function workOn(sql: Sql, machine: MachineId): Promise<Work | undefined> {
  const lease = await leaseOfMachine(sql, machine);
  if (!lease || lease.holder.kind !== 'attempt') return undefined;
  const [build, attempt] = lease.holder.id.split('.');
  return { build: build as BuildId, attempt: Number(attempt), lease: { id: lease.id, machine, epoch: lease.state.epoch } };
}

/** Log, attempt, build and lease come to their ends together. */
async function endWork(
  sql: Sql,
  work: Work,
  {
    end,
    log,
    at,
    builders,
    holds,
  }: { end: AttemptEnd; log: FinishedLog | undefined; at: number } & Pick<RecordsDeps, 'holds'> & {
      builders: readonly Builder[];
    },
): Promise<{ state: BuildState; session: Session | undefined }> {
  const ref = refOf(work);
  if (log) {
    await setLogLength(sql, ref, log);
    for (const segment of log.segments) await saveSegment(sql, ref, segment);
    await completeLog(sql, ref, log);
  } else await expireLog(sql, ref);
  await endAttemptRow(sql, ref, { end, at });
  const build = await getBuildForUpdate(sql, work.build);
  const builder = builders.find(({ name }) => name === build.builder);
  const session = await holds?.pass(sql, { work, build, builder, end, at });
  const lost = end.kind === 'infra' && end.cause === 'machine-lost';
  if (session?.state.kind !== 'active') await endLease(sql, work.lease.id, lost ? { at } : { epoch: work.lease.epoch, at });
  try {
    const next = advance(build.state, { kind: 'attempt-ended', at, attempt: work.attempt, end });
    const gone = next.kind === 'queued' && !builder;
    const state = gone ? advance(next, { kind: 'skip', at, why: notConfigured(build.builder) }) : next;
    await saveBuildState(sql, work.build, state, log?.sha1);
    return { state, session };
  } catch (error) {
    throw isCode(error, 'conflict') ? new CroftError('internal', `build ${work.build} and its attempt disagree`, { cause: error }) : error;
  }
}

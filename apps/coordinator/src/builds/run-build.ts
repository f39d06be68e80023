/**
 * Drives one attempt from wherever it stands to its end. Replayable: every fact is read from the store or asked of the buildlet,
 * every intent is stored before it is acted on, and every act is start-or-attach under a fixed id. So it may be stopped between
 * any two statements and called again from the top, and comes to the same end.
 */
import { advanceStep, type StepState } from '@croft/domain/attempt';
import type { Job, Step } from '@croft/domain/job';
import { runId } from '@croft/domain/names';
import { endOfStep, type AttemptEnd, type Exit } from '@croft/domain/outcome';
import { planJob } from '@croft/domain/plan-steps';
import type { Buildlet } from '@croft/buildlet/client';
import { stepSpec } from '@croft/buildlet/step-spec';
import { anySignal } from '@croft/runtime/clock';
import { asCroftError, CroftError, errorText, isCode } from '@croft/runtime/errors';
import { collectArtifacts } from '../artifacts/collect-artifacts.ts';
import { findCaches, noteRestored } from '../caches/restore-caches.ts';
import { saveCaches } from '../caches/save-caches.ts';
import { clearRuns, runsOf } from './clear-runs.ts';
import { followRun } from './follow-run.ts';
import { pushSource } from './push-source.ts';
import { stopServices } from '../services/keep-service-logs.ts';
import { isEnd, startServices } from '../services/run-services.ts';
import { sourceName } from './source-name.ts';
import { keepTrying } from './keep-trying.ts';
import type { AttemptLog, AttemptRecord, DriverWaits, FarmDeps, SourceOf, Work } from './work.ts';

/**
 * @throws CroftError `stale` when the lease has passed on, `stopped` when asked to detach, `unavailable` when the store is gone.
 * Everything else becomes the attempt's end.
 */
export async function runBuild(work: Work, farm: FarmDeps, waits: DriverWaits): Promise<AttemptEnd> {
  const record = await farm.records.load(work);
  await using log = await farm.logs.resume(work, record.logBytes);
  const end = log ? await driveToEnd({ work, record, log, farm, waits }) : logLost;
  await farm.records.finish(work, end, await log?.complete());
  await collectRuns(work, farm, waits);
  return end;
}

const logLost: AttemptEnd = { kind: 'infra', cause: 'log-failed', evidence: 'bytes of its log that were stored are gone from the disk' };

interface Drive {
  readonly work: Work;
  readonly record: AttemptRecord;
  readonly log: AttemptLog;
  readonly farm: FarmDeps;
  readonly waits: DriverWaits;
}

async function driveToEnd(drive: Drive): Promise<AttemptEnd> {
  try {
    const planned = await ensurePlanned(drive);
    if ('kind' in planned) return planned;
    const end = await runSteps(drive, planned);
    return await leaveBehind(drive, planned.job, end);
  } catch (error) {
    drive.waits.signal.throwIfAborted();
    if (isCode(error, 'stale') || isCode(error, 'stopped') || isCode(error, 'unavailable')) throw error;
    const cause = isCode(error, 'exhausted') ? 'machine-unfit' : 'internal';
    drive.farm.log.error('build driver failed', { build: drive.work.build, attempt: drive.work.attempt, error });
    return { kind: 'infra', cause, evidence: errorText(error) };
  }
}

async function runSteps(drive: Drive, { job, states }: Planned): Promise<AttemptEnd> {
  const { work, farm } = drive;
  let services: Record<string, string> | undefined;
  const buildlet = farm.connect(work.lease.machine);
  for (const [index, state] of states.entries()) {
    const begun = state.kind === 'ended' || (state.kind === 'running' && index > 0); // a command that began is followed to its end
    const cancelled = begun ? undefined : await cancelEnd(drive);
    if (cancelled) return cancelled;
    const step = job.steps[index - 1];
    if (step && state.kind !== 'ended' && !services) {
      const found = await orCancelled(drive, (signal) => startServices({ work, job, farm, signal }, { begun: begun || index > 1 }));
      if (isEnd(found)) return found;
      services = found;
    }
    const end = step
      ? await ensureStep(drive, buildlet, { job, step, index, state, services })
      : await ensureSource(drive, buildlet, { job, state });
    if (end) return end;
  }
  return { kind: 'passed' };
}

/** Artifacts and caches of a build that came to an end of its own. Who cancels it meanwhile does not wait for them. */
async function leaveBehind(drive: Drive, job: Job, end: AttemptEnd): Promise<AttemptEnd> {
  const { work, record, farm } = drive;
  if (end.kind !== 'passed' && end.kind !== 'failed' && end.kind !== 'timed-out') return end;
  return orCancelled(drive, async (signal) => {
    await stopServices({ work, job, farm, signal }, record);
    const verdict = await collectArtifacts({ work, record, job, farm, signal }, end);
    if (verdict.kind === 'passed') await saveCaches({ work, job, farm, signal });
    return verdict;
  });
}

/** Our own work beside the commands: who cancels the build meanwhile does not wait for it. */
async function orCancelled<T>(drive: Drive, act: (signal: AbortSignal) => Promise<T>): Promise<T | AttemptEnd> {
  const { waits } = drive;
  try {
    return await act(anySignal(waits.signal, waits.cancelled));
  } catch (error) {
    waits.signal.throwIfAborted();
    const cancelled = waits.cancelled.aborted ? await cancelEnd(drive) : undefined;
    if (!cancelled) throw error;
    return cancelled;
  }
}

interface Planned {
  readonly job: Job;
  readonly states: readonly StepState[];
}

/** The job is decided once and stored with the attempt, before anything is done about it. */
async function ensurePlanned(drive: Drive): Promise<Planned | AttemptEnd> {
  const { work, record, farm } = drive;
  if (record.plan) return { job: record.plan.job, states: record.plan.steps.map((step) => step.state) };
  const plan = (await cancelEnd(drive)) ?? (await untilCancelled(drive, (source, waits) => farm.source.plan(source, waits)));
  if (typeof plan === 'string') return { kind: 'skipped', why: plan };
  if ('kind' in plan) return plan;
  const caches = await untilCancelled(drive, (source, waits) => farm.source.caches(source, waits));
  if ('kind' in caches) return caches;
  const { builder, revisions } = sourceOf(record);
  const job = { ...planJob(builder, { steps: plan.steps, revisions, trigger: record.trigger }), caches };
  await farm.records.plan(work, job, plan.reason);
  return { job, states: ['source', ...plan.steps].map(() => ({ kind: 'pending' })) };
}

async function ensureSource(
  drive: Drive,
  buildlet: Buildlet,
  { job, state }: Pick<PlannedStep, 'job' | 'state'>,
): Promise<AttemptEnd | undefined> {
  const { work, farm, log } = drive;
  if (state.kind === 'ended') return endOfStep('source', state.exit);
  const running = await ensureStarted(drive, 0, state);
  const caches = await findCaches(job, farm);
  const failed = await untilCancelled(drive, (source, { signal }) => pushSource(buildlet, { work, source, job, caches, farm, signal }));
  if (failed) return failed;
  await noteRestored(caches, { work, job, farm });
  const exit: Exit = { kind: 'exited', code: 0 };
  await farm.records.saveStep(work, 0, advanceStep(running, { kind: 'ended', at: farm.clock.now(), logTo: log.length, exit }));
  return undefined;
}

function sourceOf({ builder, revisions }: AttemptRecord): SourceOf {
  if (!builder) throw new CroftError('internal', 'the source of a build whose builder is not configured any more');
  return { builder, revisions };
}

/**
 * Our own work on the source, broken off when the build is cancelled. What goes wrong with it is not the command's doing: the end is
 * `infra`, or `skipped` when trying again cannot help.
 */
async function untilCancelled<T>(
  drive: Drive,
  act: (source: SourceOf, waits: { signal: AbortSignal }) => Promise<T>,
): Promise<T | AttemptEnd> {
  const { signal, cancelled } = drive.waits;
  try {
    return await act(sourceOf(drive.record), { signal: anySignal(signal, cancelled) });
  } catch (error) {
    signal.throwIfAborted();
    if (isCode(error, 'stale') || isCode(error, 'stopped')) throw error;
    const end = cancelled.aborted ? await cancelEnd(drive) : undefined;
    if (end) return end;
    const failure = asCroftError(error, 'internal', 'reading the source');
    if (failure.code === 'invalid') return { kind: 'skipped', why: errorText(failure) };
    const cause = failure.code === 'exhausted' ? 'machine-unfit' : 'source-failed';
    return { kind: 'infra', cause, evidence: errorText(failure) };
  }
}

interface PlannedStep {
  readonly job: Job;
  readonly step: Step;
  readonly index: number;
  readonly state: StepState;
  /** Where the services are. */
  readonly services?: Readonly<Record<string, string>> | undefined;
}

async function ensureStep(
  drive: Drive,
  buildlet: Buildlet,
  { job, step, index, state, services }: PlannedStep,
): Promise<AttemptEnd | undefined> {
  const { work, farm, log, waits } = drive;
  if (state.kind === 'ended') return endOfStep(step.name, state.exit, state.seen);
  const running = await ensureStarted(drive, index, state);
  const id = runId(work.build, work.attempt, step.name);
  const variables = { ...services, ...farm.secrets.variables({ ...job.secrets, ...step.secrets }) };
  const spec = stepSpec(job, step, { variables, outputLimitBytes: farm.outputLimitBytes });
  const start = async (): Promise<unknown> => {
    // A run that is there stays as it was started, whatever this process would ask for today.
    if (state.kind === 'running' && (await buildlet.run(id, waits)) !== 'unknown') return;
    return buildlet.startOrAttach(id, spec, work.lease.epoch, { source: sourceName(work), signal: waits.signal });
  };
  try {
    await keepTrying(start, { work, farm, signal: waits.signal });
  } catch (error) {
    if (isCode(error, 'conflict')) return { kind: 'infra', cause: 'machine-lost', evidence: errorText(error) };
    throw error;
  }
  const { logFrom } = running;
  const { exit, seen } = await followRun({ id, logFrom, buildlet, limits: spec, cancelReason: () => cancelReason(drive) }, drive);
  const ended = advanceStep(running, { kind: 'ended', at: farm.clock.now(), logTo: log.length, exit, seen });
  await farm.records.saveStep(work, index, ended);
  if (exit.kind === 'killed') return (await cancelEnd(drive)) ?? endOfStep(step.name, exit);
  return endOfStep(step.name, exit, seen);
}

/** Stores the intent; after a restart the stored start stands. */
async function ensureStarted({ work, farm, log }: Drive, index: number, state: StepState): Promise<StepState & { kind: 'running' }> {
  if (state.kind === 'running') return state;
  const running = advanceStep(state, { kind: 'started', at: farm.clock.now(), logFrom: log.length });
  await farm.records.saveStep(work, index, running);
  return running as StepState & { kind: 'running' };
}

async function cancelEnd({ work, farm, record, waits }: Drive): Promise<AttemptEnd | undefined> {
  if (record.cancel) return { kind: 'cancelled', ...record.cancel };
  if (!waits.cancelled.aborted) return undefined;
  const { cancel } = await farm.records.load(work);
  return cancel && { kind: 'cancelled', ...cancel };
}

async function cancelReason(drive: Drive): Promise<string | undefined> {
  const end = await cancelEnd(drive);
  return end?.kind === 'cancelled' ? `${end.by}: ${end.why}` : undefined;
}

/** Spools are dropped only when the end is stored; whatever is missed here is collected before the machine's next attempt. */
async function collectRuns(work: Work, farm: FarmDeps, { signal }: DriverWaits): Promise<void> {
  try {
    const { machine, epoch } = work.lease;
    await clearRuns(farm.connect(machine), (id) => id.startsWith(runsOf(work)), { epoch, clock: farm.clock, signal });
  } catch (error) {
    farm.log.debug('runs left for the next attempt to collect', { build: work.build, error });
  }
}

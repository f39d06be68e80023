/**
 * Makes a session's machine like that of an attempt: the exact source, the services, and the steps before the one that failed. Replayable: what is
 * there already, by the session's runs, is not made again.
 */
import type { Buildlet } from '@croft/buildlet/client';
import { stepSpec } from '@croft/buildlet/step-spec';
import type { Builder, Job, Step } from '@croft/domain/job';
import { parseRunId, type RunId } from '@croft/domain/names';
import { endOfStep, endText, type AttemptEnd } from '@croft/domain/outcome';
import { MINUTE } from '@croft/runtime/clock';
import { CroftError } from '@croft/runtime/errors';
import { getAttempt } from '@croft/store/attempts';
import { getBuild, type StoredBuild } from '@croft/store/builds';
import type { Database } from '@croft/store/database';
import type { Session } from '@croft/store/sessions';
import { stepsOf } from '@croft/store/steps';
import { keepTrying } from '../builds/keep-trying.ts';
import { pushSource } from '../builds/push-source.ts';
import { sourceName } from '../builds/source-name.ts';
import type { FarmDeps, Work } from '../builds/work.ts';
import { isEnd, startServices } from '../services/run-services.ts';
import { findCaches } from '../caches/restore-caches.ts';
import type { SessionRecords, SessionWork } from './session-records.ts';

export interface ReproduceDeps {
  readonly db: Pick<Database, 'read'>;
  readonly records: Pick<SessionRecords, 'moveAs'>;
  readonly farm: Omit<FarmDeps, 'records'>;
  builders(): readonly Builder[];
}

/** Output of a step beyond this is forgotten, so that it never stops the step. */
const keptBytes = 256 * 2 ** 20;
const lookMs = MINUTE / 2;

/** @returns what it came to, one line. @throws CroftError `not-found`, `conflict` when nothing is known to repeat */
export async function reproduce(
  session: Session,
  hold: SessionWork,
  { signal, ...deps }: ReproduceDeps & { readonly signal: AbortSignal },
): Promise<string> {
  const { records, farm } = deps;
  const { build, builder, job, steps, failed } = await readAttempt(deps, session);
  const buildlet = farm.connect(hold.lease.machine);
  const work: Work = { build: build.id, attempt: attemptOf(session), lease: hold.lease };
  const tell = async (text: string): Promise<void> => void (await records.moveAs(hold, { kind: 'progress', text }));
  const started = await keepTrying(() => buildlet.runs({ signal }), { work, farm, signal });
  if (!started.some(({ id }) => id.startsWith(`${session.id}.`))) {
    await tell(`the source of build ${build.id} is brought`);
    const source = { builder, revisions: build.revisions };
    await pushSource(buildlet, { work, source, job, caches: await findCaches(job, farm), farm, signal });
  }
  const names = (job.services ?? []).map(({ name }) => name);
  if (names.length > 0) await tell(`${names.join(' and ')} ${names.length === 1 ? 'is' : 'are'} started`);
  const begun = started.some(({ id }) => id.startsWith(`${session.id}.step-`));
  const services = await startServices({ work, job, farm, session: session.id, signal }, { begun });
  if (isEnd(services)) return `the source; ${endText(services)}, and no step was run`;
  for (const [index, step] of steps.entries()) {
    await tell(`step ${step.name} runs, ${index + 1} of ${steps.length}`);
    const end = await runStep(buildlet, { session, work, job, step, services, farm, signal });
    if (end) return `${endText(end)}; the steps after it were not run`;
  }
  const ran = steps.length === 0 ? 'the source' : `the source, with ${steps.map(({ name }) => name).join(', ')} run`;
  return failed === undefined ? `${ran}; no step failed there` : `${ran}; next is ${failed}`;
}

interface Repeating {
  readonly session: Session;
  readonly work: Work;
  readonly job: Job;
  readonly step: Step;
  /** Where the services are. */
  readonly services: Readonly<Record<string, string>>;
  readonly farm: ReproduceDeps['farm'];
  readonly signal: AbortSignal;
}

/** @returns its end, unless the next step may run */
async function runStep(
  buildlet: Buildlet,
  { session, work, job, step, services, farm, signal }: Repeating,
): Promise<AttemptEnd | undefined> {
  const id: RunId = parseRunId(`${session.id}.step-${step.name}`);
  const { epoch } = work.lease;
  const variables = { ...services, ...farm.secrets.variables({ ...job.secrets, ...step.secrets }) };
  const spec = stepSpec(job, step, { variables, outputLimitBytes: farm.outputLimitBytes });
  const source = sourceName(work);
  await keepTrying(() => buildlet.startOrAttach(id, spec, epoch, { source, signal }), { work, farm, signal });
  for (let acknowledged = 0; ;) {
    const run = await keepTrying(() => buildlet.run(id, { waitMs: lookMs, signal }), { work, farm, signal });
    if (typeof run === 'string') throw new CroftError('internal', `the run of step ${step.name} is ${run}`);
    if (run.state === 'ended') return endOfStep(step.name, run.exit, run);
    const to = run.output.length - keptBytes;
    if (to <= acknowledged) continue;
    await keepTrying(() => buildlet.ack(id, to, epoch, { signal }), { work, farm, signal });
    acknowledged = to;
  }
}

interface Repeated {
  readonly build: StoredBuild;
  readonly builder: Builder;
  readonly job: Job;
  /** Those before the one that failed. */
  readonly steps: readonly Step[];
  readonly failed: string | undefined;
}

async function readAttempt({ db, builders }: ReproduceDeps, session: Session): Promise<Repeated> {
  const { from } = session;
  if (from.kind === 'asked') throw new CroftError('internal', `session ${session.id} is about no build`);
  const ref = { build: from.build, number: from.attempt };
  const [build, attempt, states] = await db.read(
    async (sql) => [await getBuild(sql, from.build), await getAttempt(sql, ref), await stepsOf(sql, ref)] as const,
  );
  const builder = builders().find(({ name }) => name === build?.builder);
  if (!builder) throw new CroftError('not-found', `builder ${build?.builder ?? 'of the build'} is not configured any more`);
  if (!build || !attempt?.job) throw new CroftError('conflict', `attempt ${from.attempt} of build ${from.build} was never planned`);
  const { job } = attempt;
  const isDone = (name: string): boolean => {
    const state = states.find((one) => one.name === name)?.state;
    return state?.kind === 'ended' && endOfStep(name, state.exit, state.seen) === undefined;
  };
  const first = job.steps.findIndex(({ name }) => !isDone(name));
  const steps = first === -1 ? job.steps : job.steps.slice(0, first);
  return { build, builder, job, steps, failed: job.steps[steps.length]?.name };
}

function attemptOf({ from }: Session): number {
  return from.kind === 'asked' ? 0 : from.attempt;
}

/** Of a session that keeps the machine of an attempt: whether the tree still lies there. @throws CroftError `conflict` when it does not */
export async function lookForTree(
  session: Session,
  { lease }: SessionWork,
  { farm, signal }: Pick<ReproduceDeps, 'farm'> & { readonly signal: AbortSignal },
): Promise<undefined> {
  const { from } = session;
  if (from.kind === 'asked') throw new CroftError('internal', `session ${session.id} is about no build`);
  const waits = { source: sourceName(from), gzipLevel: 0, signal };
  const look = async (): Promise<void> => {
    for await (const _ of farm.connect(lease.machine).getTarGz('.', ['no file'], lease.epoch, waits));
  };
  await keepTrying(look, { work: { lease }, farm, signal });
}

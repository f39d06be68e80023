/** From what is stored to what is shown: the shapes of `@croft/protocol/api`. Pure. */
import type { BuildState } from '@croft/domain/build';
import type { BuildSummary, AttemptView, CommitView, StepView } from '@croft/protocol/api';
import type { Attempt, AttemptSummary } from '@croft/store/attempts';
import type { StoredBuild } from '@croft/store/builds';
import type { Commit } from '@croft/store/commits';
import type { StoredStep } from '@croft/store/steps';
import type { WaitReason } from '@croft/domain/schedule';

export interface SummaryParts {
  readonly attempt?: AttemptSummary | undefined;
  readonly wait?: WaitReason | undefined;
  /** Of its builder. */
  readonly knownIssues?: readonly string[] | undefined;
  /** Median of the builder, ms. */
  readonly medianMs?: number | undefined;
}

function buildUrl(id: string): string {
  return `/builds/${id}`;
}

function logUrl(id: string, attempt: number): string {
  return `/builds/${id}/attempts/${attempt}/log`;
}

export function toSummary(build: StoredBuild, { attempt, wait, medianMs, knownIssues = [] }: SummaryParts): BuildSummary {
  const { state } = build;
  const last = attempt?.state;
  const waits = state.kind === 'queued';
  const startAt = waits ? wait?.expectedAt : last?.startedAt;
  const expected = state.kind !== 'ended' && startAt !== undefined && medianMs !== undefined ? { expectedEndAt: startAt + medianMs } : {};
  return {
    id: build.id,
    builder: build.builder,
    repo: build.repo,
    revision: build.revision,
    ...(build.revisions.length > 1 ? { beside: build.revisions.slice(1) } : {}),
    trigger: build.trigger,
    band: build.band,
    state: state.kind,
    ...(state.kind === 'ended' ? { end: state.end } : {}),
    ...(isFailure(state) && knownIssues.length > 0 ? { knownIssues: [...knownIssues] } : {}),
    attempts: state.attempts,
    createdAt: build.createdAt,
    since: state.since,
    ...(last && !waits ? { startedAt: last.startedAt } : {}),
    ...(last?.kind === 'ended' && !waits ? { endedAt: last.endedAt } : {}),
    ...expected,
    ...(waits && wait ? { wait } : {}),
    url: buildUrl(build.id),
  };
}

function isFailure(state: BuildState): boolean {
  return state.kind === 'ended' && (state.end.kind === 'failed' || state.end.kind === 'timed-out');
}

export function toAttemptView({ state, build, number, machine, planReason, job, log }: Attempt, steps: readonly StoredStep[]): AttemptView {
  return {
    number,
    state: state.kind,
    startedAt: state.startedAt,
    ...(state.kind === 'ended' ? { endedAt: state.endedAt, end: state.end } : {}),
    machine,
    ...(planReason === undefined ? {} : { reason: planReason }),
    ...(job === undefined ? {} : { configHash: job.configHash }),
    steps: steps.map((step) => toStepView(step, job?.steps[step.index - 1]?.argv ?? [])),
    log: {
      state: log.state,
      bytes: log.bytes,
      lines: log.lines,
      ...(log.sha1 === undefined ? {} : { sha1: log.sha1 }),
      url: logUrl(build, number),
    },
  };
}

function toStepView({ name, role, state }: StoredStep, argv: readonly string[]): StepView {
  const base = { name, role, argv: [...argv], state: state.kind };
  if (state.kind === 'pending') return base;
  const { startedAt, logFrom } = state;
  if (state.kind === 'running') return { ...base, startedAt, logFrom };
  const { endedAt, logTo, exit, seen: { usage, evidence } = {} } = state;
  const seen = { ...(usage ? { usage } : {}), ...(evidence ? { evidence: [...evidence] } : {}) };
  return { ...base, startedAt, logFrom, endedAt, logTo, exit, ...seen };
}

export function toCommitView(repo: string, { revision, subject, authorName, authorEmail, committedAt }: Commit): CommitView {
  return { repo, revision, subject, authorName, authorEmail, committedAt };
}

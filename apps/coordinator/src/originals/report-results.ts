/**
 * Results of builders that are not this farm's machines. What such a builder tells becomes one more attempt of the same build that
 * would run here, on the machine `outside`: ids, grid, log addresses, retention and retry are then the same for all.
 */
import { createHash } from 'node:crypto';
import { buildId, type Builder, type RepoRevision } from '@croft/domain/job';
import type { BuilderName, BuildId, LeaseId } from '@croft/domain/names';
import type { AttemptEnd } from '@croft/domain/outcome';
import { advance } from '@croft/domain/build';
import type { Clock } from '@croft/runtime/clock';
import { CroftError, isCode } from '@croft/runtime/errors';
import { attemptsOf, endAttemptRow, insertAttempt, type AttemptRef } from '@croft/store/attempts';
import { getBuild, getBuildForUpdate, insertBuild, saveBuildState } from '@croft/store/builds';
import type { Database, Sql } from '@croft/store/database';
import { completeLog, saveSegment, setLogLength } from '@croft/store/logs';
import type { FinishedLog } from '../builds/work.ts';
import type { Metrics } from '../events.ts';
import type { AttemptLogs } from '../logs/attempt-logs.ts';
import { outside } from '../builds/work.ts';

export interface Reported {
  readonly builder: BuilderName;
  readonly revisions: readonly RepoRevision[];
  readonly branch: string;
  readonly passed: boolean;
  readonly log: string;
  readonly runMs: number;
}

export interface ReportDeps {
  readonly db: Database;
  readonly builders: () => readonly Pick<Builder, 'name' | 'needs'>[];
  readonly logs: Pick<AttemptLogs, 'resume' | 'remove'>;
  readonly metrics: Pick<Metrics, 'attemptEnded' | 'buildEnded'>;
  readonly clock: Clock;
  /** Called when a move of this build is durable. */
  onMove(build: BuildId): void;
}

const noLease = '' as LeaseId;

export type Report = (reported: Reported) => Promise<BuildId>;

/**
 * Stores what was reported; the same report again is no change.
 * The function throws CroftError `conflict` while the farm builds it itself, or when another report came first.
 */
export function createReport(deps: ReportDeps): Report {
  let last: Promise<unknown> = Promise.resolve();
  return (reported) => {
    const mine = last.then(() => store(deps, reported));
    last = mine.catch(() => undefined); // told to whoever reported it
    return mine;
  };
}

async function store(deps: ReportDeps, reported: Reported): Promise<BuildId> {
  const { db, logs, metrics, onMove } = deps;
  const id = buildId({ ...reported, trigger: { kind: 'branch', ref: reported.branch } });
  const bytes = Buffer.from(reported.log);
  const end: AttemptEnd = reported.passed ? { kind: 'passed' } : { kind: 'failed', step: 'build', text: 'reported from outside' };
  const [build, attempts] = await db.read(async (sql) => [await getBuild(sql, id), await attemptsOf(sql, id)] as const);
  if (build?.state.kind === 'running' || build?.state.kind === 'cancelling')
    throw new CroftError('conflict', `this farm runs build ${id} itself at present`, { hint: 'Its own result counts.' });
  const before = attempts.at(-1);
  const same = before?.machine === outside && before.log.sha1 === createHash('sha1').update(bytes).digest('hex');
  if (same && build?.state.kind === 'ended' && build.state.end.kind === end.kind) return id;
  const ref = { build: id, number: (build?.state.attempts ?? 0) + 1 };
  const log = await storeLog(logs, ref, bytes);
  try {
    await db.write((sql) => insertReported(sql, ref, { deps, reported, end, log }));
  } catch (error) {
    if (!isCode(error, 'conflict')) await logs.remove(ref.build, ref.number); // else it is another's by now
    throw error;
  }
  metrics.attemptEnded(end.kind);
  metrics.buildEnded(end.kind);
  onMove(id);
  return id;
}

async function storeLog(logs: ReportDeps['logs'], { build, number }: AttemptRef, bytes: Buffer): Promise<FinishedLog> {
  await using log = await logs.resume({ build, attempt: number }, 0);
  if (!log) throw new CroftError('internal', `the log of build ${build}, attempt ${number}, could not be begun`);
  if (bytes.length > 0) await log.append(bytes);
  return await log.complete();
}

interface Insertion {
  readonly deps: Pick<ReportDeps, 'builders' | 'clock'>;
  readonly reported: Reported;
  readonly end: AttemptEnd;
  readonly log: FinishedLog;
}

/** Build, attempt and log come to their ends together. */
async function insertReported(sql: Sql, ref: AttemptRef, { deps, reported, end, log }: Insertion): Promise<void> {
  const { builder, revisions, branch, runMs } = reported;
  const at = deps.clock.now();
  const needs = deps.builders().find((candidate) => candidate.name === builder)?.needs ?? { labels: [] };
  const trigger = { kind: 'branch', ref: branch } as const;
  await insertBuild(sql, { id: ref.build, builder, revisions, trigger, band: 'post-submit', needs, createdAt: at });
  const state = advance((await getBuildForUpdate(sql, ref.build)).state, { kind: 'reported', at, end });
  if (state.attempts !== ref.number) throw new CroftError('conflict', `build ${ref.build} has moved on while its log was stored`);
  await insertAttempt(sql, { ...ref, builder, startedAt: at - runMs, machine: outside, lease: noLease, epoch: 0 });
  await setLogLength(sql, ref, log);
  for (const segment of log.segments) await saveSegment(sql, ref, segment);
  await completeLog(sql, ref, log);
  await endAttemptRow(sql, ref, { end, at });
  await saveBuildState(sql, ref.build, state, log.sha1);
}

/** What the driver of a build holds and what it needs from the rest of the coordinator: small ports, so that tests can stop it anywhere. */
import type { StepState } from '@croft/domain/attempt';
import type { Builder, Job, JobCache, RepoRevision, Step, Trigger } from '@croft/domain/job';
import type { BuildId, LeaseId, MachineId } from '@croft/domain/names';
import type { AttemptEnd } from '@croft/domain/outcome';
import type { Buildlet } from '@croft/buildlet/client';
import type { Clock, Waits } from '@croft/runtime/clock';
import type { Log } from '@croft/runtime/log';
import type { Random } from '@croft/runtime/random';
import type { BlobStore } from '@croft/blobs/blobs';
import type { ArtifactFile, ArtifactState } from '@croft/store/artifacts';
import type { LogSegment } from '@croft/store/logs';
import type { CacheRecords } from '../caches/cache-records.ts';
import type { SecretKeeper } from '@croft/config/keep-secrets';

/** Stands for all machines that are not ours, where others built and told the result. */
export const outside = 'outside' as MachineId;

/** One attempt and the lease under which it is driven. Every write shows the epoch. */
export interface Work {
  readonly build: BuildId;
  readonly attempt: number;
  readonly lease: { readonly id: LeaseId; readonly machine: MachineId; readonly epoch: number };
}

export interface StepRecord {
  readonly name: string;
  readonly state: StepState;
}

/** What is stored about an attempt; the driver decides from this alone. */
export interface AttemptRecord {
  /** Undefined when it is not configured any more; then `cancel` says so. */
  readonly builder: Builder | undefined;
  readonly revisions: readonly RepoRevision[];
  readonly trigger: Trigger;
  /** Absent until it was planned. `steps` has the source step first, then the job's. */
  readonly plan: { readonly job: Job; readonly steps: readonly StepRecord[] } | undefined;
  readonly logBytes: number;
  /** What is noted of each artifact, by its name. */
  readonly artifacts: ReadonlyMap<string, ArtifactState>;
  readonly cancel: { readonly by: string; readonly why: string } | undefined;
}

/**
 * Fenced writes: each throws `stale` when the lease has passed to another holder or ended, and `unavailable` while nothing can be
 * stored, for whatever reason.
 */
export interface BuildRecords {
  load(work: Work): Promise<AttemptRecord>;
  plan(work: Work, job: Job, reason: string): Promise<void>;
  saveStep(work: Work, index: number, state: StepState): Promise<void>;
  /** What was noted before stands. */
  saveArtifact(work: Work, artifact: KeptArtifact): Promise<void>;
  /** Notes how much of the log is durable. */
  saveLogLength(work: Work, length: { bytes: number; lines: number }): Promise<void>;
  /** `log` is undefined when bytes of it are gone. */
  finish(work: Work, end: AttemptEnd, log: FinishedLog | undefined): Promise<void>;
}

export interface KeptArtifact {
  readonly name: string;
  readonly state: ArtifactState;
  readonly files: readonly ArtifactFile[];
}

export interface FinishedLog {
  readonly bytes: number;
  readonly lines: number;
  readonly sha1: string;
  /** The index of its lines. */
  readonly segments: readonly LogSegment[];
}

/** The stored log of one attempt while its driver appends to it. */
export interface AttemptLog extends AsyncDisposable {
  readonly length: number;
  append(chunk: Uint8Array): Promise<void>;
  /** Makes what was appended durable; returns the durable length. */
  sync(): Promise<{ bytes: number; lines: number }>;
  /** No more will come. Readers who follow reach their end. */
  complete(): Promise<FinishedLog>;
}

/** Whose source is asked for. */
export interface SourceOf {
  readonly builder: Builder;
  readonly revisions: readonly RepoRevision[];
}

export interface StepPlan {
  readonly steps: readonly Step[];
  readonly reason: string;
}

export interface FarmDeps {
  readonly records: BuildRecords;
  /** Undefined when some of the durable bytes are gone. */
  readonly logs: { resume(work: Work, durableBytes: number): Promise<AttemptLog | undefined> };
  readonly source: {
    /** The builder's steps, or those found in the tree; a string says why nothing is to be done. */
    plan(of: SourceOf, waits: Waits): Promise<StepPlan | string>;
    /** The builder's caches, under the keys that this commit gives them. */
    caches(of: SourceOf, waits: Waits): Promise<readonly JobCache[]>;
    tar(of: SourceOf, options: Waits & { readonly gzipLevel: number }): AsyncIterable<Buffer>;
  };
  readonly blobs: Pick<BlobStore, 'put' | 'read'>;
  readonly caches: CacheRecords;
  connect(machine: MachineId): Buildlet;
  /** Told when a machine did not answer, so that somebody looks at it. */
  onUnreachable(machine: MachineId): void;
  readonly secrets: Pick<SecretKeeper, 'variables' | 'mask'>;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
  readonly outputLimitBytes: number;
}

export interface DriverWaits {
  /** Aborted to detach: the process stops or the lease is gone. What runs goes on. */
  readonly signal: AbortSignal;
  /** Aborted when somebody cancels the build. */
  readonly cancelled: AbortSignal;
}

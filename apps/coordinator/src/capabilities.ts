/**
 * What the coordinator can do for whoever asks: the routes and pages call this and nothing else. Reading never waits for work
 * to happen; commands return when what they decided is stored.
 */
import type { BuildId } from '@croft/domain/names';
import type { ArtifactView, CacheUseView } from '@croft/protocol/artifacts';
import type { BuildDetail, BuildList, BuildSummary, Change, ConfigState, Farm, Grid, MachineList } from '@croft/protocol/api';
import type { Waits } from '@croft/runtime/clock';
import type { Browse } from './browse/browse.ts';
import type { ShownConfig } from './configuration/shown-config.ts';
import type { MachineCare } from './machines/machine-care.ts';
import type { Dashboard } from './originals/dashboard.ts';
import type { Farmer } from './originals/farmer.ts';
import type { GridQuery } from './queries/read-builds.ts';
import type { MachineFilter, MachineKind } from './queries/read-machines.ts';
import type { Sessions } from './sessions/sessions.ts';

export interface BuildFilter {
  readonly repo?: string | undefined;
  readonly builder?: string | undefined;
  readonly revision?: string | undefined;
  readonly state?: 'queued' | 'running' | 'ended' | undefined;
  readonly limit: number;
  readonly before?: string | undefined;
}

/** One attempt's log. Offsets are bytes. */
export interface LogReader {
  readonly length: number;
  readonly live: boolean;
  /** Bytes `[from, to)` of what is there now. */
  read(range: { from: number; to?: number }): AsyncIterable<Buffer>;
  /** Goes on until the attempt's log is complete. */
  follow(from: number, waits: Waits): AsyncIterable<Buffer>;
  /** Offset of the first byte of a line, counted from 0; the length when there are fewer lines. */
  offsetOfLine(line: number): Promise<number>;
}

/** One file that an attempt left behind. */
export interface ArtifactFile {
  readonly bytes: number;
  readonly sha256: string;
  /** Bytes `[from, to)`. */
  read(range: { from: number; to: number }): AsyncIterable<Buffer>;
}

export interface ArtifactPlace {
  readonly attempt: number;
  readonly artifact: string;
  readonly path: string;
}

export interface Configuration {
  readonly state: ConfigState;
  readonly settings: ShownConfig;
}

export interface Capabilities {
  /** @throws CroftError `not-found` for an unknown repository or branch. */
  grid(query: GridQuery): Promise<Grid>;
  builds(filter: BuildFilter): Promise<BuildList>;
  build(id: BuildId): Promise<BuildDetail | undefined>;
  /** `brief`: without machines, running builds and queue, which may be thousands. */
  farm(shown?: { readonly brief: boolean }): Promise<Farm>;
  machineList(filter: MachineFilter): Promise<MachineList>;
  /** How many there are of each kind, and how many are free. */
  machineKinds(): Promise<MachineKind[]>;
  /** For operators. @throws CroftError `forbidden` to who is limited to some repositories */
  configuration(): Promise<Configuration>;
  /** Attempt 0 means the last one. @throws CroftError `not-found`, also when the log has expired. */
  log(id: BuildId, attempt: number): Promise<LogReader>;
  logByHash(sha1: string): Promise<LogReader | undefined>;

  /** Of one attempt, or all; with at most so many files of each. @throws CroftError `not-found` */
  artifacts(id: BuildId, of: { readonly attempt?: number; readonly maxFiles: number }): Promise<ArtifactView[]>;
  /** Of one attempt, or all. */
  cacheUses(id: BuildId, of: { readonly attempt?: number }): Promise<CacheUseView[]>;
  /** @throws CroftError `not-found`, also when retention has let it go. */
  artifactFile(id: BuildId, place: ArtifactPlace): Promise<ArtifactFile>;

  /** @throws CroftError `not-found`, or `conflict` when it has ended. */
  cancel(id: BuildId, by: string, why: string): Promise<BuildSummary>;
  /** @throws CroftError `not-found`, or `conflict` when it has not ended. */
  retry(id: BuildId, by: string): Promise<BuildSummary>;
  /** Looks for new commits of a repository now. Resolves when what was found is queued. */
  notify(repo: string, waits: Waits): Promise<{ queued: string[] }>;
  /** Has it looked for, and waits for nothing. Empty `branches`: it is not known which have moved. */
  wake(repo: string, branches: readonly string[]): void;

  /** Changes as they happen; a slow reader misses some and should look again anyway. */
  changes(waits: Waits): AsyncIterable<Change>;
  readonly browse: Browse;
  /** Each call says who asks, so nothing is left out of it for those who may see some repositories only. */
  readonly sessions: Sessions;
  /** For operators of the whole farm. */
  readonly machines: MachineCare;
  /** What the originals' tools and builders ask for. */
  readonly dashboard: Dashboard;
  readonly farmer: Farmer;
  readonly ready: () => Promise<{ ready: boolean; reasons: string[] }>;
}

/** The pools of a configuration, as they may be written. */
import type { Duration, Size } from './define-config.ts';

export type PoolInput = LocalPoolInput | DockerPoolInput | ReversePoolInput;

interface AnyPoolInput {
  name?: string | undefined;
  hostType?: string | undefined;
  labels?: readonly string[] | undefined;
}

/** Processes on this machine, which run everything as you. */
export interface LocalPoolInput extends AnyPoolInput {
  kind: 'local';
  /** How many buildlets: how many builds at once. */
  size?: number | undefined;
  /** So many more, for sessions alone: borrowing does not wait for builds. */
  forSessions?: number | undefined;
  /** A buildlet that hears from no coordinator for this long ends its commands and itself. */
  orphanedMs?: Duration | undefined;
}

/** Containers of a Docker daemon on this machine. */
export interface DockerPoolInput extends AnyPoolInput {
  kind: 'docker';
  /** How many containers: how many builds at once. */
  size?: number | undefined;
  /** So many more, for sessions alone: borrowing does not wait for builds. */
  forSessions?: number | undefined;
  orphanedMs?: Duration | undefined;
  /** Any Linux image with glibc and libstdc++; nothing of Croft needs to be in it. */
  image: string;
  /** Where the daemon listens. */
  socketPath?: string | undefined;
  /** `none` is the default; `bridge` is Docker's own. */
  network?: string | undefined;
  /** Paths of this machine, read-only unless `writable`. */
  mounts?: readonly { source: string; target: string; writable?: boolean | undefined }[] | undefined;
  /** `UID:GID`; the default is who runs the coordinator. */
  user?: string | undefined;
  cpus?: number | undefined;
  /** With no swap on top. */
  memoryBytes?: Size | undefined;
  /** Processes and threads at once. */
  processes?: number | undefined;
  /** Puts the work directory into memory; it holds so much. */
  treeBytesInMemory?: Size | undefined;
  /** Nothing outside of the work directory and `/tmp` can be written. */
  readOnly?: boolean | undefined;
}

/** Machines that dial in, with a key for their host type. */
export interface ReversePoolInput extends AnyPoolInput {
  kind: 'reverse';
  /** What they say they are; one pool for each host type. */
  hostType: string;
  /** How many should be connected; fewer are shown as missing. */
  expect?: number | undefined;
}

/** What a machine is made of that is a container, as it is configured. Sizes are bytes, durations ms. */

export interface ContainerSettings {
  readonly image: string;
  /** `none`, or the name of one that the daemon has. */
  readonly network: string;
  readonly mounts: readonly { readonly source: string; readonly target: string; readonly writable: boolean }[];
  /** `UID:GID`; undefined: that of the coordinator. */
  readonly user?: string | undefined;
  readonly cpus?: number | undefined;
  readonly memoryBytes?: number | undefined;
  /** Processes and threads at once. */
  readonly processes: number;
  /** The work directory is in memory and holds so much; undefined: it is on the disk of the data directory. */
  readonly treeBytesInMemory?: number | undefined;
  /** Nothing outside of the work directory and `/tmp` can be written. */
  readonly readOnly: boolean;
  readonly orphanedMs: number;
}

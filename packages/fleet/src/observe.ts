/** What every pool tells of a machine from the status that its buildlet gives, whatever the machine is made of. */
import type { BuildletStatus } from '@croft/protocol/runs';
import type { SelfTest } from '@croft/protocol/self-test';

/** All of it undefined while the buildlet does not answer. */
export interface ObservedStatus {
  /** Go's protocol version. */
  readonly version?: number | undefined;
  /** Changes with every start of its buildlet; undefined for Go's own, which do not tell. */
  readonly boot?: string | undefined;
  readonly freeBytes?: number | undefined;
  readonly lowDisk?: boolean | undefined;
  readonly cpus?: number | undefined;
  readonly memoryBytes?: number | undefined;
  /** Ends for an update when its build has ended, and takes nothing new until it is back. */
  readonly updating?: boolean | undefined;
  /** What it found out about itself; undefined for those that do not test themselves. */
  readonly selfTest?: SelfTest | undefined;
}

export function observeStatus({ Version: version, Croft }: BuildletStatus): ObservedStatus {
  if (!Croft) return { version };
  const { boot, freeBytes, lowDisk, cpus, memoryBytes, updating, selfTest } = Croft;
  return { version, boot, freeBytes, lowDisk, cpus, memoryBytes, updating, selfTest };
}

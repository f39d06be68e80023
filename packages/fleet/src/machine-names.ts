/** Which machines a pool that makes them shall have. */
import { parseMachineId, type MachineId } from '@croft/domain/names';

export interface Numbers {
  /** For builds, and for sessions while no build is faster. */
  readonly size: number;
  /** So many more, for sessions alone. */
  readonly forSessions?: number | undefined;
}

export interface MachineNames {
  readonly all: readonly MachineId[];
  readonly forSessions: ReadonlySet<MachineId>;
}

/** POOL-1, POOL-2 …; the last ones are those for sessions. */
export function machineNames(pool: string, { size, forSessions = 0 }: Numbers): MachineNames {
  const all = Array.from({ length: size + forSessions }, (_, i) => parseMachineId(`${pool}-${i + 1}`));
  return { all, forSessions: new Set(all.slice(size)) };
}

/**
 * The group of processes (cgroup v1 or v2) that the buildlet and its commands are in, where their memory has a limit: a container's, or a
 * service's. What the kernel killed there is counted in it; the number of the whole computer would count what others were killed for.
 */
import { readFileSync } from 'node:fs';

export interface GroupSources {
  readonly procDir: string;
  /** Where the system's groups are mounted. */
  readonly groupsDir: string;
}

export interface MemoryGroup {
  readonly limitBytes: number;
  /** Processes of it that the kernel killed for lack of memory. */
  readonly oomKills: number;
}

interface Version {
  readonly limit: string;
  readonly count: string;
}

const v1: Version = { limit: 'memory.limit_in_bytes', count: 'memory.oom_control' };
const v2: Version = { limit: 'memory.max', count: 'memory.events' };
/** What version 1 tells for none is above this; version 2 says `max`. */
const noLimit = 2 ** 60;

/** Undefined where nothing limits it, or nothing tells. */
export function memoryGroup({ procDir, groupsDir }: GroupSources): MemoryGroup | undefined {
  for (const line of read(`${procDir}/self/cgroup`).split('\n')) {
    const [, controllers = '', path = ''] = /^\d+:([^:]*):(\/.*)$/.exec(line) ?? [];
    const isV1 = controllers.split(',').includes('memory');
    if (!isV1 && (controllers !== '' || path === '')) continue;
    // In a container its own group is mounted at the top, whatever the path says.
    for (const top of isV1 ? [`${groupsDir}/memory`] : [groupsDir, `${groupsDir}/unified`]) {
      const found = groupAt(top, path, isV1 ? v1 : v2) ?? groupAt(top, '/', isV1 ? v1 : v2);
      if (found) return found;
    }
  }
  return undefined;
}

/** A group above may be the one that has the limit. */
function groupAt(top: string, path: string, version: Version): MemoryGroup | undefined {
  const [, count] = /^oom_kill (\d+)$/m.exec(read(`${top}${path}/${version.count}`)) ?? [];
  if (count === undefined) return undefined;
  for (let at = path; ; at = at.slice(0, at.lastIndexOf('/'))) {
    const limitBytes = Number(read(`${top}${at}/${version.limit}`).trim() || NaN);
    if (limitBytes < noLimit) return { limitBytes, oomKills: Number(count) };
    if (at === '' || at === '/') return undefined;
  }
}

function read(path: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return '';
  }
}

/**
 * What the machine went through while a command ran: memory that ran out, processes that waited, a disk that is full. Told beside its end
 * and never instead of it. All of it comes from /proc and the kernel's log; what cannot be read is not told.
 */
import { closeSync, constants, openSync, readFileSync, readSync } from 'node:fs';
import { memoryGroup, type GroupSources, type MemoryGroup } from './memory-group.ts';

/** What was noticed since it began. */
export interface Seen {
  /** Processes that the kernel killed for lack of memory: of the group whose memory is limited, else of the whole machine. */
  readonly oomKills: number;
  readonly evidence: readonly string[];
}

/** Where it is read; others in tests. */
export interface Sources extends GroupSources {
  readonly kernelLog: string;
}

/** Shares of the time in which some process had to wait, from which on it is told. */
const pressures = [
  { name: 'memory', words: 'for memory', from: 0.1 },
  { name: 'io', words: 'for the disk', from: 0.3 },
  { name: 'cpu', words: 'for a processor', from: 0.7 },
] as const;
/** In a shorter time a share says nothing. */
const leastMs = 1_000;
const maxKernelRecords = 20_000;
const maxVictims = 5;
const longestRecord = 8_192;

export function watchMachine(sources: Sources = { procDir: '/proc', groupsDir: '/sys/fs/cgroup', kernelLog: '/dev/kmsg' }): () => Seen {
  const before = look(sources);
  return () => {
    const after = look(sources);
    const { group } = after;
    const oomKills = Math.max(0, group && before.group ? group.oomKills - before.group.oomKills : after.oomKills - before.oomKills);
    const killed = group ? [ranOut(group, oomKills)] : victims(sources, before.upMs, oomKills);
    return { oomKills, evidence: [...(oomKills > 0 ? killed : []), ...waits(before, after)] };
  };
}

interface Look {
  readonly upMs: number;
  readonly oomKills: number;
  readonly group: MemoryGroup | undefined;
  /** Microseconds in which some process waited, by resource. */
  readonly waited: Readonly<Record<string, number>>;
}

function look(sources: Sources): Look {
  const { procDir } = sources;
  const number = (text: string, pattern: RegExp): number => Number(pattern.exec(text)?.[1] ?? 0);
  const waited = pressures.map(({ name }) => [name, number(read(`${procDir}/pressure/${name}`), /^some .*total=(\d+)/m)]);
  return {
    upMs: number(read(`${procDir}/uptime`), /^([\d.]+)/) * 1_000,
    oomKills: number(read(`${procDir}/vmstat`), /^oom_kill (\d+)$/m),
    group: memoryGroup(sources),
    waited: Object.fromEntries(waited) as Record<string, number>,
  };
}

function waits(before: Look, after: Look): string[] {
  const elapsedMs = after.upMs - before.upMs;
  if (elapsedMs < leastMs) return [];
  return pressures.flatMap(({ name, words, from }) => {
    const share = ((after.waited[name] ?? 0) - (before.waited[name] ?? 0)) / 1_000 / elapsedMs;
    return share < from ? [] : [`processes of its machine waited ${words} ${Math.min(100, Math.round(share * 100))} % of the time`];
  });
}

/** The kernel's log tells of all groups, so nobody is named. */
function ranOut({ limitBytes }: MemoryGroup, oomKills: number): string {
  return `the ${Math.round(limitBytes / 1e6)} MB of memory that the machine may use ran out: the kernel killed ${oomKills} process(es)`;
}

/** Whom the kernel killed since then, as far as its log may be read. */
function victims({ kernelLog }: Sources, sinceMs: number, oomKills: number): string[] {
  const found: string[] = [];
  for (const record of kernelRecords(kernelLog)) {
    const [, atUs] = /^\d+,\d+,(\d+),/.exec(record) ?? [];
    const [, pid, name] = /Killed process (\d+) \(([^)]{0,100})\)/.exec(record) ?? [];
    if (pid !== undefined && Number(atUs) / 1_000 >= sinceMs)
      found.push(`the machine ran out of memory: the kernel killed process ${pid} (${name})`);
  }
  return found.length > 0 ? found.slice(0, maxVictims) : [`the machine ran out of memory: the kernel killed ${oomKills} process(es)`];
}

/** One read gives one record; nothing waits for the next one. */
function* kernelRecords(path: string): Generator<string> {
  let fd: number | undefined;
  try {
    fd = openSync(path, constants.O_RDONLY | constants.O_NONBLOCK);
    const record = Buffer.alloc(longestRecord);
    for (let count = 0; count < maxKernelRecords; count += 1) {
      const bytes = readSync(fd, record);
      if (bytes === 0) return;
      yield* record.toString('utf8', 0, bytes).split('\n');
    }
  } catch {
    return; // not ours to read, or read to its end
  } finally {
    if (fd !== undefined) closeSync(fd);
  }
}

function read(path: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return '';
  }
}

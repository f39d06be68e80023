/**
 * Kernel groups that a command cannot leave by forking: a directory of its own in the v1 freezer, else in cgroup v2, which costs more
 * at each start (docs/decisions/0007-freezer-first.md). A process is born inside: the buildlet steps into the group, spawns (which forks before it returns) and steps back, all in one
 * synchronous stretch. Nothing else can be spawned in between and there is no moment in which a child could escape.
 */
import { closeSync, mkdirSync, openSync, readFileSync, readdirSync, rmdirSync, statSync, writeFileSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { CroftError, systemCode } from '@croft/runtime/errors';

const whoeverWrites = Buffer.from('0');
/** Of a group with none below it: its name and its `.`; each below adds its `..`. */
const linksOfLeaf = 2;

export type GroupKind = 'cgroup2' | 'freezer';

/** Where groups can be made on this machine. */
export interface GroupHome {
  readonly kind: GroupKind;
  /** The group of the buildlet itself; groups are made below it. */
  readonly own: string;
}

/** Finds a hierarchy in which this process can make a group, step into it and come back; undefined when there is none. */
export function findGroupHome(probeName: string): GroupHome | undefined {
  if (process.platform !== 'linux') return undefined;
  return candidates().find((home) => usable(home, probeName));
}

/**
 * Who steps into a group: the whole process, or only the thread that forks. Moving a process waits until none of the machine forks, and for
 * a grace period of the kernel; moving oneself does not. But a thread that is started meanwhile would stay behind.
 */
export type Movers = 'process' | 'thread';

/** The way into a group: its file, which is held open, since that takes longer than to step in. */
export interface Door extends Disposable {
  enter(): void;
}

export function openDoor(kind: GroupKind, group: string, movers: Movers): Door {
  const file = movers === 'thread' && kind === 'freezer' ? 'tasks' : 'cgroup.procs'; // cgroup v2 moves processes alone
  const fd = openSync(join(group, file), 'w');
  return { enter: () => void writeSync(fd, whoeverWrites), [Symbol.dispose]: () => closeSync(fd) };
}

/** Runs `spawn` with this process or thread inside the group, so that what it forks is born there. Both doors are for the same movers. */
export function bornInside<T>({ into, back }: { into: Door; back: Door }, spawn: () => T): T {
  into.enter();
  try {
    return spawn();
  } finally {
    back.enter();
  }
}

/** The pids in the group and in groups that its processes made below it; none when the group is gone. */
export function groupMembers(group: string): number[] {
  return groupAndBelow(group).flatMap((path) => {
    const text = readIfThere(join(path, 'cgroup.procs'));
    return text.split('\n').filter(Boolean).map(Number);
  });
}

/** Of all processes that were ever in it. */
export interface GroupUsage {
  readonly cpuMs?: number;
  readonly peakBytes?: number;
}

/** What cgroup v2 keeps account of: processor time always, memory only with its controller. */
export function groupUsage(group: string): GroupUsage {
  const cpuUs = /^usage_usec (\d+)$/m.exec(readIfThere(join(group, 'cpu.stat')))?.[1];
  const peak = /^\d+/.exec(readIfThere(join(group, 'memory.peak')))?.[0];
  return { ...(cpuUs ? { cpuMs: Math.round(Number(cpuUs) / 1_000) } : {}), ...(peak ? { peakBytes: Number(peak) } : {}) };
}

/** One blow at everything in the group. A killed process may take a moment to be gone: repeat until no member is left. */
export function strikeGroup(kind: GroupKind, group: string): void {
  const members = groupMembers(group);
  if (members.includes(process.pid)) throw new CroftError('internal', `kill the processes in ${group}: the buildlet itself is in it`);
  if (kind === 'cgroup2') writeIfThere(join(group, 'cgroup.kill'), '1');
  else strikeFrozen(group);
}

/** Removes an empty group and those below it; one that is not empty is left as it is. */
export function removeGroup(group: string): void {
  for (const path of groupAndBelow(group).toReversed()) removeIfEmpty(path);
}

/** Nothing lives in the group, and none is below it. */
export function isEmptyLeaf(group: string): boolean {
  try {
    return statSync(group).nlink === linksOfLeaf && readFileSync(join(group, 'cgroup.procs'), 'utf8') === '';
  } catch (error) {
    if (systemCode(error) === 'ENOENT') return false; // somebody has removed it
    throw error;
  }
}

/** Only a group in which nothing lives can be removed. @returns whether it is gone */
export function removeIfEmpty(group: string): boolean {
  try {
    rmdirSync(group);
  } catch (error) {
    if (systemCode(error) === 'EBUSY') return false;
    if (systemCode(error) !== 'ENOENT') throw error;
  }
  return true;
}

function candidates(): GroupHome[] {
  const mounts = readIfThere('/proc/self/mounts')
    .split('\n')
    .map((line) => line.split(' '));
  const memberships = readIfThere('/proc/self/cgroup')
    .split('\n')
    .map((line) => line.split(':'));
  const home = (kind: GroupKind, mounted: string[] | undefined, member: string[] | undefined): GroupHome[] =>
    mounted?.[1] && member ? [{ kind, own: join(mounted[1], member.slice(2).join(':')) }] : [];
  const unified = mounts.find((fields) => fields[2] === 'cgroup2');
  const freezer = mounts.find((fields) => fields[2] === 'cgroup' && fields[3]?.split(',').includes('freezer'));
  return [
    ...home(
      'freezer',
      freezer,
      memberships.find((fields) => fields[1]?.split(',').includes('freezer')),
    ),
    ...home(
      'cgroup2',
      unified,
      memberships.find((fields) => fields[0] === '0'),
    ),
  ];
}

function usable(home: GroupHome, probeName: string): boolean {
  const probe = join(home.own, probeName);
  try {
    mkdirSync(probe);
    for (const movers of ['thread', 'process'] as const) {
      using into = openDoor(home.kind, probe, movers);
      using back = openDoor(home.kind, home.own, movers);
      bornInside({ into, back }, () => {});
    }
    readFileSync(join(probe, 'cgroup.procs'));
    if (home.kind === 'cgroup2') writeFileSync(join(probe, 'cgroup.kill'), '1');
    return true;
  } catch {
    return false; // not ours to write, or a kernel without cgroup.kill: the next way is tried
  } finally {
    removeQuietly(probe);
  }
}

function strikeFrozen(group: string): void {
  const state = join(group, 'freezer.state');
  writeIfThere(state, 'FROZEN');
  try {
    // a member of another pid namespace is listed as 0, which kill(2) would take for our own process group
    for (const pid of groupMembers(group)) if (pid > 0) killIfThere(pid);
  } finally {
    writeIfThere(state, 'THAWED');
  }
}

function groupAndBelow(group: string): string[] {
  let entries;
  try {
    if (statSync(group).nlink === linksOfLeaf) return [group];
    entries = readdirSync(group, { withFileTypes: true });
  } catch (error) {
    if (systemCode(error) === 'ENOENT') return [];
    throw error;
  }
  return [group, ...entries.filter((entry) => entry.isDirectory()).flatMap((entry) => groupAndBelow(join(group, entry.name)))];
}

export function killIfThere(pid: number, signal: NodeJS.Signals = 'SIGKILL'): void {
  try {
    process.kill(pid, signal);
  } catch (error) {
    if (systemCode(error) !== 'ESRCH') throw error;
  }
}

function readIfThere(path: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch (error) {
    if (['ENOENT', 'ENODEV'].includes(systemCode(error) ?? '')) return '';
    throw error;
  }
}

function writeIfThere(path: string, text: string): void {
  try {
    writeFileSync(path, text);
  } catch (error) {
    if (!['ENOENT', 'ENODEV'].includes(systemCode(error) ?? '')) throw error;
  }
}

function removeQuietly(path: string): void {
  try {
    rmdirSync(path);
  } catch {
    // it could not be made either
  }
}

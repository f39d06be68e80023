/**
 * What /proc tells about processes: which ones carry a cookie or belong to a process group, and whether a recorded pid is
 * still the same process. Used where no kernel group can be made, and after a crash.
 */
import { readFileSync, readdirSync } from 'node:fs';

/** What finds a process again for sure: a pid alone may have been given to another one. */
export interface ProcessMark {
  readonly pid: number;
  /** Start time in clock ticks since boot, as /proc tells it. */
  readonly startTicks: string;
  readonly bootId: string;
}

/** Undefined when the process is gone, or where there is no /proc. */
export function markProcess(pid: number): ProcessMark | undefined {
  const stat = readStat(pid);
  return stat && { pid, startTicks: stat.startTicks, bootId: bootId() };
}

export function isSameProcess(mark: ProcessMark): boolean {
  const stat = readStat(mark.pid);
  return stat !== undefined && stat.startTicks === mark.startTicks && bootId() === mark.bootId;
}

/** Living processes whose environment holds this cookie, or that belong to the process group or session `leader`. */
export function findProcesses(cookie: string, leader: number | undefined): number[] {
  const entry = `CROFT_COOKIE=${cookie}`;
  return allPids().filter((pid) => {
    const stat = readStat(pid);
    if (!stat || stat.state === 'Z' || stat.state === 'X' || pid === process.pid) return false;
    if (leader !== undefined && (stat.group === leader || stat.session === leader)) return true;
    return read(`/proc/${pid}/environ`).split('\0').includes(entry);
  });
}

/** Living processes with a cookie `<random>:<name>` whose name begins so. */
export function findNamed(beginning: string): number[] {
  const isNamed = (entry: string): boolean => /^CROFT_COOKIE=[0-9a-f]+:/.test(entry) && entry.split(':')[1]?.startsWith(beginning) === true;
  return allPids().filter((pid) => pid !== process.pid && read(`/proc/${pid}/environ`).split('\0').some(isNamed));
}

/** The process group that is in the foreground of this process's terminal; undefined when it has none. */
export function foregroundGroup(pid: number): number | undefined {
  const group = readStat(pid)?.foreground ?? -1;
  return group > 0 ? group : undefined;
}

/** Whether a process of this session could ask a person for something; true where nothing tells. */
export function hasTerminal(): boolean {
  return readStat(process.pid)?.terminal !== 0;
}

interface Stat {
  readonly state: string;
  readonly group: number;
  readonly session: number;
  /** Number of the device; 0 is none. */
  readonly terminal: number;
  readonly foreground: number;
  readonly startTicks: string;
}

function readStat(pid: number): Stat | undefined {
  const text = read(`/proc/${pid}/stat`);
  const fields = text.slice(text.lastIndexOf(')') + 2).split(' '); // the name before may hold anything; field 3 comes first here
  const [state, group, session, terminal, foreground, startTicks] = [0, 2, 3, 4, 5, 19].map((at) => fields[at]);
  return state && startTicks
    ? { state, group: Number(group), session: Number(session), terminal: Number(terminal), foreground: Number(foreground), startTicks }
    : undefined;
}

/** New each time that the machine is switched on; empty where there is no /proc. */
export function bootId(): string {
  return read('/proc/sys/kernel/random/boot_id').trim();
}

function allPids(): number[] {
  try {
    return readdirSync('/proc')
      .filter((name) => /^\d+$/.test(name))
      .map(Number);
  } catch {
    return []; // no /proc on this system
  }
}

function read(path: string): string {
  try {
    return readFileSync(path, 'latin1');
  } catch {
    return ''; // gone since it was listed, or another user's
  }
}

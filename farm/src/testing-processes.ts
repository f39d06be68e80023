/** Which processes of this machine belong to a farm, seen from outside: by what /proc tells, not by what the farm believes. */
import { existsSync, readFileSync, readdirSync, readlinkSync } from 'node:fs';
import { join } from 'node:path';

export interface FoundProcess {
  readonly pid: number;
  readonly parent: number;
  readonly session: number;
  readonly group: number;
  /** `T` while it is stopped. */
  readonly state: string;
  readonly command: string;
}

/**
 * Every living process that names the farm's data directory: in its arguments, its environment (each command has WORKDIR and
 * TMPDIR there), its working directory, or, for a command that cleared all of these, whose group or session is such a process's.
 */
export function processesOf(dataDir: string): FoundProcess[] {
  const all = livingProcesses().filter(({ pid }) => pid !== process.pid);
  const named = new Set(all.filter(({ pid }) => names(pid, dataDir)).map(({ pid }) => pid));
  return all.filter(({ pid, group, session }) => named.has(pid) || named.has(group) || named.has(session));
}

/** Undefined when it is gone; a killed process that nobody has asked for yet is gone. */
export function findProcess(pid: number): FoundProcess | undefined {
  const stat = read(`/proc/${pid}/stat`);
  const [state = 'Z', parent, group, session] = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  if (stat === '' || state === 'Z' || state === 'X') return undefined;
  const command = read(`/proc/${pid}/cmdline`).replaceAll('\0', ' ').trim();
  return { pid, state, parent: Number(parent), group: Number(group), session: Number(session), command };
}

/** What a process was given at its start; undefined for a name that it was not given. */
export function environmentOf(pid: number): Readonly<Record<string, string | undefined>> {
  const entries = read(`/proc/${pid}/environ`).split('\0').filter(Boolean);
  return Object.fromEntries(entries.map((entry) => [entry.slice(0, entry.indexOf('=')), entry.slice(entry.indexOf('=') + 1)]));
}

/** Kernel groups below ours whose name holds this text; a command's is named for its run. */
export function kernelGroupsOf(text: string): string[] {
  const mounts = read('/proc/self/mounts')
    .split('\n')
    .map((line) => line.split(' '));
  const ours = read('/proc/self/cgroup')
    .split('\n')
    .filter(Boolean)
    .map((line) => line.split(':').slice(2).join(':'));
  const places = mounts.filter(([, , type]) => type?.startsWith('cgroup')).flatMap(([, mount = '']) => ours.map((own) => join(mount, own)));
  return [...new Set(places)]
    .filter((place) => existsSync(place))
    .flatMap((place) => readdirSync(place).filter((name) => name.includes(text)));
}

export function killAll(processes: readonly { readonly pid: number }[], signal: NodeJS.Signals = 'SIGKILL'): void {
  for (const { pid } of processes) {
    try {
      process.kill(pid, signal);
    } catch {
      // It ended in between.
    }
  }
}

function livingProcesses(): FoundProcess[] {
  const pids = readdirSync('/proc').filter((name) => /^\d+$/.test(name));
  return pids.map((pid) => findProcess(Number(pid))).filter((found) => found !== undefined);
}

function names(pid: number, dataDir: string): boolean {
  return [read(`/proc/${pid}/cmdline`), read(`/proc/${pid}/environ`), directoryOf(pid)].some((text) => text.includes(dataDir));
}

function directoryOf(pid: number): string {
  try {
    return readlinkSync(`/proc/${pid}/cwd`);
  } catch {
    return '';
  }
}

function read(path: string): string {
  try {
    return readFileSync(path, 'latin1');
  } catch {
    return '';
  }
}

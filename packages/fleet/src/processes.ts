/** Processes that are not our children: a pid alone may have been given to somebody else, a pid with its start time not. */
import { execFile } from 'node:child_process';
import { readFile } from 'node:fs/promises';
import { promisify } from 'node:util';

export interface ProcessMark {
  readonly pid: number;
  /** When it started, as the system tells it: `/proc/PID/stat` field 22, or `ps` where there is no /proc. */
  readonly startTime: string;
}

/** Of a process that is there. */
export async function markProcess(pid: number): Promise<ProcessMark> {
  return { pid, startTime: (await startTimeOf(pid)) ?? '' };
}

/** True while that very process exists (and is not a zombie). */
export async function isRunning({ pid, startTime }: ProcessMark): Promise<boolean> {
  return startTime !== '' && (await startTimeOf(pid)) === startTime;
}

export async function killProcess(mark: ProcessMark): Promise<void> {
  if (!(await isRunning(mark))) return;
  try {
    process.kill(mark.pid, 'SIGKILL');
  } catch {
    // It ended in between.
  }
}

/** Undefined when there is no such process, or only what its parent has not collected yet. */
export function startTimeOf(pid: number, platform = process.platform): Promise<string | undefined> {
  return platform === 'linux' ? fromProc(pid) : fromPs(pid);
}

async function fromProc(pid: number): Promise<string | undefined> {
  try {
    const stat = await readFile(`/proc/${pid}/stat`, 'latin1');
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
    return fields[0] === 'Z' ? undefined : fields[19];
  } catch {
    return undefined;
  }
}

/** POSIX: `Ss  Sat Nov 21 12:14:38 2026`. */
async function fromPs(pid: number): Promise<string | undefined> {
  try {
    const { stdout } = await promisify(execFile)('ps', ['-o', 'stat=', '-o', 'lstart=', '-p', String(pid)], {
      env: { PATH: '/bin:/usr/bin', LC_ALL: 'C' },
    });
    const [state = 'Z', ...startedAt] = stdout.trim().split(/\s+/);
    return state.startsWith('Z') ? undefined : startedAt.join(' ');
  } catch {
    return undefined;
  }
}

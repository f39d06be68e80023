/** Processes that are not our children: a pid alone may have been given to somebody else, a pid with its start time not. */
import { readFile } from 'node:fs/promises';

export interface ProcessMark {
  readonly pid: number;
  /** `/proc/PID/stat` field 22, clock ticks since boot; empty where there is no /proc. */
  readonly startTime: string;
}

export async function markProcess(pid: number): Promise<ProcessMark> {
  return { pid, startTime: (await startTimeOf(pid)) ?? '' };
}

/** True while that very process exists (and is not a zombie). */
export async function isRunning({ pid, startTime }: ProcessMark): Promise<boolean> {
  if (startTime !== '') return (await startTimeOf(pid)) === startTime;
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    return false;
  }
}

export async function killProcess(mark: ProcessMark): Promise<void> {
  if (!(await isRunning(mark))) return;
  try {
    process.kill(mark.pid, 'SIGKILL');
  } catch {
    // It ended in between.
  }
}

async function startTimeOf(pid: number): Promise<string | undefined> {
  try {
    const stat = await readFile(`/proc/${pid}/stat`, 'latin1');
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
    return fields[0] === 'Z' ? undefined : fields[19];
  } catch {
    return undefined;
  }
}

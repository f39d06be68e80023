/** How much CPU time processes and the children they have waited for used up, where Linux tells it: a figure that other load hardly moves. */
import { readFile } from 'node:fs/promises';

/** What `sysconf(_SC_CLK_TCK)` answers on every Linux. */
const ticksPerSecond = 100;

/** In ms; NaN on other systems. @throws when a process is gone */
export async function cpuMs(pids: readonly number[]): Promise<number> {
  if (process.platform !== 'linux') return NaN;
  const used = await Promise.all(
    pids.map(async (pid) => {
      const text = await readFile(`/proc/${pid}/stat`, 'utf8');
      const afterName = text.slice(text.lastIndexOf(')') + 2).split(' ');
      return afterName.slice(11, 15).reduce((sum, ticks) => sum + Number(ticks), 0); // utime, stime, cutime, cstime
    }),
  );
  return (used.reduce((sum, ticks) => sum + ticks, 0) * 1_000) / ticksPerSecond;
}

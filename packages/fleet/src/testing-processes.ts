/** What runs on this computer below a directory, for tests of pools. */
import { readdirSync, readFileSync } from 'node:fs';

/** Processes whose command or environment names the directory: buildlets, and what they run. */
export function processesBelow(dir: string): { pid: number; text: string }[] {
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name) && Number(name) !== process.pid)
    .flatMap((pid) => {
      try {
        const text = readFileSync(`/proc/${pid}/cmdline`, 'utf8');
        return `${text}${readFileSync(`/proc/${pid}/environ`, 'utf8')}`.includes(dir) ? [{ pid: Number(pid), text }] : [];
      } catch {
        return []; // it ended meanwhile
      }
    });
}

/** What runs on this computer below a directory, for tests of pools. */
import { readdirSync, readFileSync } from 'node:fs';

/** Processes whose command or environment names the directory: buildlets, and what they run. */
export function processesBelow(dir: string): { pid: number; text: string }[] {
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name) && Number(name) !== process.pid)
    .map((pid) => ({ pid: Number(pid), text: read(pid, 'cmdline') }))
    .filter(({ pid, text }) => `${text}${read(String(pid), 'environ')}`.includes(dir));
}

/** Empty when it has ended meanwhile, or hides this. */
function read(pid: string, what: 'cmdline' | 'environ'): string {
  try {
    return readFileSync(`/proc/${pid}/${what}`, 'utf8');
  } catch {
    return '';
  }
}

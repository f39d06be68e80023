/**
 * What a killed git leaves in a mirror: a process that may still be writing, locks and half-written files. We are a mirror's only
 * writer, so whatever is there while we do not write is stale. A writing git is noted in the mirror with its start time, by
 * which it is found again after our own death.
 */
import fs from 'node:fs';
import { join } from 'node:path';
import { SECOND, type Clock, type Waits } from '@croft/runtime/clock';
import { CroftError } from '@croft/runtime/errors';
import { killTree } from './git-command.ts';

const endMs = 10 * SECOND;
const pollMs = 10;

export function noteWriter(dir: string, pid: number): void {
  fs.writeFileSync(noteOf(dir), `${pid} ${startOf(pid) ?? ''}`);
}

export function forgetWriter(dir: string): void {
  fs.rmSync(noteOf(dir), { force: true });
}

/** Ends a git that an earlier process of ours left writing, and removes what it held. */
export async function recoverMirror(dir: string, clock: Clock, { signal }: Waits): Promise<void> {
  const pid = stillWriting(dir);
  if (pid !== undefined) {
    killTree({ pid });
    for (const since = clock.monotonic(); stillWriting(dir) !== undefined;) {
      if (clock.monotonic() - since > endMs)
        throw new CroftError('unavailable', `an earlier git (pid ${pid}) does not end; it writes to ${dir}`);
      await clock.sleep(pollMs, { signal });
    }
  }
  forgetWriter(dir);
  removeLeftovers(dir, false);
}

function stillWriting(dir: string): number | undefined {
  const note = fs.existsSync(noteOf(dir)) ? fs.readFileSync(noteOf(dir), 'utf8') : '';
  const [, pid = '', start = ''] = /^(\d+) (\d+)$/.exec(note) ?? [];
  return start !== '' && startOf(Number(pid)) === start ? Number(pid) : undefined;
}

/** Field 22 of `/proc/PID/stat`, clock ticks since boot; undefined for a process that is gone, a zombie, or without /proc. */
function startOf(pid: number): string | undefined {
  try {
    const stat = fs.readFileSync(`/proc/${pid}/stat`, 'latin1');
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
    return fields[0] === 'Z' || fields[0] === 'X' ? undefined : fields[19];
  } catch {
    return undefined;
  }
}

function removeLeftovers(dir: string, objects: boolean): void {
  for (const entry of fs.readdirSync(dir, { withFileTypes: true })) {
    const at = join(dir, entry.name);
    if (entry.name.endsWith('.lock') || (objects && /^(?:tmp_|\.tmp-)/.test(entry.name))) fs.rmSync(at, { recursive: true, force: true });
    else if (entry.isDirectory() && !foreign.has(entry.name)) removeLeftovers(at, objects || entry.name === 'objects');
  }
}

/** Directories in a mirror that are mirrors of their own, or not git's. */
const foreign = new Set(['croft-modules', 'lfs']);

function noteOf(dir: string): string {
  return join(dir, 'croft-writer');
}

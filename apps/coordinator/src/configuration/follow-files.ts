/**
 * Waits for a change of any of some files by looking at them: that works on every file system, for files that are replaced, and for
 * ones that are not there yet. A change counts once they have been quiet for a moment.
 */
import { stat } from 'node:fs/promises';
import { SECOND, type Clock, type Waits } from '@croft/runtime/clock';

export interface Watched {
  readonly files: readonly string[];
  /** Epoch ms at which they were read. */
  readonly readAt: number;
}

const everyMs = SECOND;
/** An editor may write a file in pieces, and a checkout one file after the other. */
const quietMs = everyMs / 5;
/** A file's time comes from a coarser clock, ms. */
const clockStepMs = 50;

/** Calls `read` for each change; what that read is watched from then on. Ends with an abort. */
export async function followFiles(
  first: Watched,
  { clock, read }: { clock: Clock; read(waits: Waits): Promise<Watched> },
  waits: { signal: AbortSignal },
): Promise<never> {
  let watched = first;
  let seen = await lookAt(watched.files);
  let stale = changedSince(watched.readAt, seen, clock);
  for (;;) {
    await clock.sleep(everyMs, waits);
    let now = await lookAt(watched.files);
    if (!stale && now.text === seen.text) continue;
    for (let before = ''; before !== now.text; now = await lookAt(watched.files)) {
      before = now.text;
      await clock.sleep(quietMs, waits);
    }
    watched = await read(waits);
    seen = await lookAt(watched.files);
    stale = changedSince(watched.readAt, seen, clock);
  }
}

interface Look {
  readonly text: string;
  /** Of each file that is there, epoch ms. */
  readonly times: readonly number[];
}

async function lookAt(files: readonly string[]): Promise<Look> {
  const found = await Promise.all(files.map((file) => stat(file).catch(() => undefined)));
  return {
    text: found.map((file) => (file ? `${file.dev} ${file.ino} ${file.size} ${file.mtimeMs}` : '-')).join('\n'),
    times: found.flatMap((file) => (file ? [file.mtimeMs] : [])),
  };
}

/** Written between the reading and this look. A time in the future says nothing. */
function changedSince(readAt: number, { times }: Look, clock: Clock): boolean {
  return times.some((time) => time > readAt - clockStepMs && time <= clock.now() + clockStepMs);
}

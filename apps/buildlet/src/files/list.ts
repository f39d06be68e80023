/** `GET /ls`: what lies below a directory, a line for each. buildlet.md 1.5. Names may hold any bytes; text is kept one character a byte. */
import { setImmediate as nextTurn } from 'node:timers/promises';
import { goModeText } from '@croft/streams/go-mode';
import { digestOf } from './digest.ts';
import { entriesInTurn, walkTree, type Walked } from './walk.ts';

export interface ListOptions {
  readonly recursive: boolean;
  /** With the SHA-1 of each file. */
  readonly digest: boolean;
  /** Directories below the base that are neither told nor entered. */
  readonly skip: readonly string[];
  readonly signal: AbortSignal;
}

const batchLength = 16 * 1024;
/** The last instant that a date can hold; some file systems keep later ones. */
const latestMs = 8.64e15;

/** After a failure what was found before it has been given. @throws what the system says of the first thing that cannot be read */
export async function* listing(base: string, { recursive, digest, skip, signal }: ListOptions): AsyncGenerator<Buffer, void> {
  const skipped = new Set(skip.map((path) => Buffer.from(path).toString('latin1')));
  const enters = ({ path }: Walked): boolean => recursive && !skipped.has(path);
  let lines = '';
  let count = 0;
  try {
    for (const found of walkTree(base, { enters })) {
      if ((count += 1) % entriesInTurn === 0) await nextTurn();
      signal.throwIfAborted();
      if (found.stats.isDirectory() && skipped.has(found.path)) continue;
      lines += `${await lineOf(found, digest, signal)}\n`;
      if (lines.length < batchLength) continue;
      yield Buffer.from(lines, 'latin1');
      lines = '';
    }
  } catch (error) {
    if (lines !== '') yield Buffer.from(lines, 'latin1');
    throw error;
  }
  if (lines !== '') yield Buffer.from(lines, 'latin1');
}

async function lineOf({ path, at, stats }: Walked, digest: boolean, signal: AbortSignal): Promise<string> {
  const start = `${goModeText(Number(stats.mode))}\t${path}`;
  if (stats.isDirectory()) return `${start}/`;
  if (!stats.isFile()) return start;
  const line = `${start}\t${stats.size}\t${wholeSecond(stats.mtimeNs)}`;
  return digest ? `${line}\t${await digestOf('sha1', { at, size: Number(stats.size), signal })}` : line;
}

/** `2020-01-01T00:00:00Z`; what is below a second is cut off, before 1970 as well. */
function wholeSecond(epochNs: bigint): string {
  const second = Number(epochNs / 1_000_000_000n) - (epochNs % 1_000_000_000n < 0n ? 1 : 0);
  return new Date(Math.min(second * 1_000, latestMs)).toISOString().replace('.000', '');
}

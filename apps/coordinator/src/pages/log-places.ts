/** Places in a log for the pages: its last lines as text, and which line a byte belongs to. */
import { stripAnsi } from '@croft/web/ansi';
import type { LogReader } from '../capabilities.ts';
import type { LogTail } from './log-panel.ts';

const tailBytes = 64 * 1024;
const tailLines = 200;

/** The last 200 lines or 64 KiB, whatever is less, without colours. */
export async function readTail(log: Pick<LogReader, 'length' | 'read'>): Promise<LogTail> {
  const from = Math.max(0, log.length - tailBytes);
  const parts: Buffer[] = [];
  for await (const part of log.read({ from, to: log.length })) parts.push(part);
  let bytes = Buffer.concat(parts);
  // Begin at a line, unless there is only one.
  const firstBreak = from > 0 ? bytes.indexOf(10) + 1 : 0;
  bytes = bytes.subarray(firstBreak < bytes.length ? firstBreak : 0);
  for (let at = bytes.length - 1, left = tailLines; at > 0 && left > 0; left -= 1) {
    at = bytes.lastIndexOf(10, at - 1);
    if (left === 1 && at >= 0) bytes = bytes.subarray(at + 1);
  }
  return { text: bytes.toString('utf8').split('\n').map(stripAnsi).join('\n'), skipped: log.length - bytes.length };
}

export interface LinePlace {
  /** From 0; the last line when there are fewer. */
  readonly line: number;
  /** Of its first byte. */
  readonly offset: number;
  readonly lines: number;
  readonly bytes: number;
  readonly live: boolean;
}

/** Where a line begins, or the line that holds a byte. Looks a few dozen lines up, whatever the log's size. */
export async function placeIn(
  log: Pick<LogReader, 'length' | 'live' | 'offsetOfLine'>,
  where: { line: number } | { offset: number },
): Promise<LinePlace> {
  const { live, length: bytes } = log;
  const lines = await firstLine(log, (offset) => offset >= bytes);
  const last = Math.max(0, lines - 1);
  const wanted = 'line' in where ? where.line : (await firstLine(log, (offset) => offset > where.offset || offset >= bytes)) - 1;
  const line = Math.min(Math.max(0, wanted), last);
  return { line, offset: lines === 0 ? 0 : await log.offsetOfLine(line), lines, bytes, live };
}

/** The first line whose offset fits; offsets only grow. Doubles until one fits, then halves. */
async function firstLine(log: Pick<LogReader, 'offsetOfLine'>, fits: (offset: number) => boolean): Promise<number> {
  if (fits(0)) return 0;
  let below = 0;
  let at = 1;
  while (!fits(await log.offsetOfLine(at))) {
    below = at;
    at *= 2;
  }
  while (at - below > 1) {
    const middle = below + Math.floor((at - below) / 2);
    if (fits(await log.offsetOfLine(middle))) at = middle;
    else below = middle;
  }
  return at;
}

/** Looks through a log for a line, piece by piece, without keeping what it has read. */
import { stripAnsi } from './ansi.ts';
import { LineSplitter } from './log-lines.ts';
import type { LogSource } from './log-source.ts';

const pieceBytes = 1024 * 1024;

export interface ScanOptions {
  /** Line to begin with, from 0. */
  readonly from: number;
  /** Bytes after which it gives up. */
  readonly limitBytes: number;
  readonly signal: AbortSignal;
  onProgress?(bytes: number): void;
}

/** The first line that fits, from 0; undefined when there is none within the limits or the signal was aborted. */
export async function scanLog(source: LogSource, fits: (text: string) => boolean, options: ScanOptions): Promise<number | undefined> {
  const place = await source.locate({ line: options.from });
  if (place.line < options.from) return undefined;
  const splitter = new LineSplitter(place.offset);
  const end = Math.min(place.offset + options.limitBytes, place.bytes);
  for (let line = place.line; splitter.offset < end && !options.signal.aborted;) {
    const piece = await source.read(splitter.offset, Math.min(end, splitter.offset + pieceBytes));
    if (piece.length === 0) break;
    for (const { text } of splitter.push(piece)) {
      if (fits(stripAnsi(text))) return line;
      line += 1;
    }
    options.onProgress?.(splitter.offset - place.offset);
    if (splitter.offset >= end && splitter.pendingBytes > 0 && fits(stripAnsi(splitter.partial().text))) return line;
  }
  return undefined;
}

/** What the first error of a failed step usually looks like, in whatever language. */
export function looksLikeError(text: string): boolean {
  return (
    /(?:^|[^\w-])(?:error|errors?:|fatal|panic|exception|traceback|assertion ?(?:error|failed)|undefined reference|segmentation fault)(?![\w-])|^\s*(?:--- FAIL|FAIL\b|not ok\b|✖|✗|×)|\bE\d{4}\b/i.test(
      text,
    ) && !/\b(?:0|no) errors?\b/i.test(text)
  );
}

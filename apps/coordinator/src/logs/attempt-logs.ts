/**
 * The stored logs, one per attempt: segments on disk, appended to by the attempt's driver and read by anybody at any offset, the
 * same way while live and for ever. Exactly the bytes the commands wrote, in order.
 */
import { createHash } from 'node:crypto';
import { rm, rmdir, stat } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import type { BuildId } from '@croft/domain/names';
import type { Clock, Waits } from '@croft/runtime/clock';
import { CroftError, isCode, systemCode } from '@croft/runtime/errors';
import type { LogSegment } from '@croft/store/logs';
import {
  createLineCounter,
  decodeLineIndex,
  encodeLineIndex,
  lineBlockBytes,
  placeOfLine,
  type LineIndex,
} from '@croft/streams/line-index';
import { openSegmentLog, type SegmentLog } from '@croft/streams/segment-log';
import type { AttemptLog, Work } from '../builds/work.ts';
import type { LogReader } from '../capabilities.ts';

export interface AttemptLogs {
  /**
   * The log as it was when `durableBytes` were stored; what a dead driver wrote beyond that is dropped and comes again. Undefined
   * when less than that is there.
   */
  resume(work: Pick<Work, 'build' | 'attempt'>, durableBytes: number): Promise<AttemptLog | undefined>;
  /** The log of an attempt that is running, whoever drives it; it may be resumed only a moment later. */
  follower(build: BuildId, attempt: number, known: Known): LogReader;
  /** The log of an attempt that has ended. @throws CroftError `not-found` when its bytes are gone. */
  reader(build: BuildId, attempt: number, segments: () => Promise<readonly LogSegment[]>): Promise<LogReader>;
  remove(build: BuildId, attempt: number): Promise<void>;
}

interface Known {
  readonly durableBytes: number;
  /** The log as it is stored, once the attempt has ended. */
  ended(): Promise<LogReader | undefined>;
}

/** Bytes described by one row of the line index. */
const segmentBytes = 16 * 1024 * 1024;

export interface AttemptLogsOptions {
  readonly clock: Clock;
  /** Told of every piece that was appended, bytes. */
  onStored(bytes: number): void;
}

export function createAttemptLogs(dir: string, { clock, onStored }: AttemptLogsOptions): AttemptLogs {
  const live = new Map<string, LiveLog>();
  const path = (build: BuildId, attempt: number): string => join(dir, build.slice(1, 3), build, String(attempt));
  return {
    async resume({ build, attempt }, durableBytes) {
      const at = path(build, attempt);
      if (live.has(at)) throw new CroftError('internal', `the log of build ${build}, attempt ${attempt}, is being written already`);
      const log = new LiveLog(await openSegmentLog(at), { onStored, onClose: () => live.delete(at) });
      if (!(await log.adopt(durableBytes))) return undefined;
      live.set(at, log);
      return log;
    },
    follower(build, attempt, known) {
      const at = path(build, attempt);
      return followingReader({ ...known, dir: at, opened: () => live.get(at)?.reader(), clock });
    },
    async reader(build, attempt, segments) {
      const at = path(build, attempt);
      await stat(at).catch((error: unknown) => {
        throw new CroftError('not-found', `the log of build ${build}, attempt ${attempt}, is not stored here`, { cause: error });
      });
      return storedReader(await openSegmentLog(at), segments);
    },
    async remove(build, attempt) {
      const at = path(build, attempt);
      await rm(at, { recursive: true, force: true });
      await rmdir(dirname(at)).catch((error: unknown) => {
        if (systemCode(error) !== 'ENOTEMPTY' && systemCode(error) !== 'ENOENT') throw error;
      });
    },
  };
}

interface LiveLogEvents {
  onStored(bytes: number): void;
  onClose(): void;
}

class LiveLog implements AttemptLog {
  readonly #log: SegmentLog;
  readonly #on: LiveLogEvents;
  readonly #hash = createHash('sha1');
  readonly #lines = createLineCounter();

  constructor(log: SegmentLog, on: LiveLogEvents) {
    this.#log = log;
    this.#on = on;
  }

  get length(): number {
    return this.#log.length;
  }

  /** False when there are fewer bytes. */
  async adopt(durableBytes: number): Promise<boolean> {
    if (this.#log.length < durableBytes) return false;
    await this.#log.truncate(durableBytes);
    for await (const chunk of this.#log.read({ from: 0, reuseBuffer: true })) this.#take(chunk);
    return true;
  }

  async append(chunk: Uint8Array): Promise<void> {
    await this.#log.append(chunk);
    this.#take(chunk);
    this.#on.onStored(chunk.length);
  }

  async sync(): Promise<{ bytes: number; lines: number }> {
    const { bytes, lines } = this.#lines;
    await this.#log.sync();
    return { bytes, lines };
  }

  async complete(): ReturnType<AttemptLog['complete']> {
    await this.#log.sync();
    this.#log.finish();
    const index = this.#lines.index();
    return { bytes: index.bytes, lines: this.#lines.lines, sha1: this.#hash.copy().digest('hex'), segments: cutIndex(index) };
  }

  reader(): LogReader {
    const log = this.#log;
    return {
      get length() {
        return log.length;
      },
      get live() {
        return !log.finished;
      },
      read: (range) => log.read(range),
      follow: (from, waits) => log.follow(from, waits),
      offsetOfLine: (line) => offsetOfLine(log, this.#lines.index(), line),
    };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#on.onClose();
    await this.#log[Symbol.asyncDispose]();
  }

  #take(chunk: Uint8Array): void {
    this.#hash.update(chunk);
    this.#lines.add(chunk);
  }
}

interface Followed extends Known {
  readonly dir: string;
  readonly opened: () => LogReader | undefined;
  readonly clock: Clock;
}

const soonMs = 20;

/** Drivers come and go, and until one has opened the log nobody writes it; what is durable is there all the time. */
function followingReader({ durableBytes, ended, dir, opened, clock }: Followed): LogReader {
  return {
    get length() {
      return opened()?.length ?? durableBytes;
    },
    live: true,
    async *read({ from, to = Infinity }) {
      const log = opened();
      if (log) yield* log.read({ from, to });
      else if (from < durableBytes) yield* (await openSegmentLog(dir)).read({ from, to: Math.min(to, durableBytes) });
    },
    async *follow(from, waits) {
      for (let at = from; ;) {
        const log = opened() ?? (await ended());
        if (log && !log.live && log.length < at) return;
        if (log && log.length >= at) {
          try {
            for await (const chunk of log.follow(at, waits)) {
              at += chunk.length;
              yield chunk;
            }
            return;
          } catch (error) {
            waits.signal?.throwIfAborted();
            if (!isCode(error, 'stopped')) throw error; // else its driver has let go, and another goes on
          }
        }
        await clock.sleep(soonMs, waits);
      }
    },
    offsetOfLine: async (line) => (await opened()?.offsetOfLine(line)) ?? 0,
  };
}

function storedReader(log: SegmentLog, segments: () => Promise<readonly LogSegment[]>): LogReader {
  log.finish();
  return {
    length: log.length,
    live: false,
    read: (range) => log.read(range),
    follow: (from: number, waits: Waits) => log.follow(from, waits),
    offsetOfLine: async (line) => offsetOfLine(log, joinIndex(await segments()), line),
  };
}

function cutIndex(index: LineIndex): LogSegment[] {
  const blocks = segmentBytes / lineBlockBytes;
  const segments: LogSegment[] = [];
  let linesBefore = 0;
  for (let n = 0; n * segmentBytes < index.bytes; n += 1) {
    const counts = index.counts.slice(n * blocks, (n + 1) * blocks);
    const start = n * segmentBytes;
    const bytes = Math.min(segmentBytes, index.bytes - start);
    segments.push({ n, start, bytes, linesBefore, index: encodeLineIndex({ bytes, counts }) });
    linesBefore += counts.reduce((total, count) => total + count, 0);
  }
  return segments;
}

function joinIndex(segments: readonly LogSegment[]): LineIndex {
  const parts = segments.map((segment) => decodeLineIndex(segment.index, segment.bytes));
  const counts = new Uint32Array(parts.reduce((total, part) => total + part.counts.length, 0));
  let at = 0;
  for (const part of parts) {
    counts.set(part.counts, at);
    at += part.counts.length;
  }
  return { bytes: parts.reduce((total, part) => total + part.bytes, 0), counts };
}

async function offsetOfLine(log: SegmentLog, index: LineIndex, line: number): Promise<number> {
  const place = placeOfLine(index, line);
  if (!place) return log.length;
  let { lines, offset } = place;
  if (lines === line) return offset;
  for await (const chunk of log.read({ from: place.offset })) {
    for (let at = chunk.indexOf(10); at >= 0; at = chunk.indexOf(10, at + 1)) {
      lines += 1;
      if (lines === line) return offset + at + 1;
    }
    offset += chunk.length;
  }
  return log.length;
}

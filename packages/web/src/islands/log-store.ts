/**
 * The part of a log that the viewer holds: blocks of 256 lines, loaded by range when asked for, the least recently used dropped,
 * and the growing end of a live log. Memory is bounded whatever the log's size. No DOM here.
 */
import { stripAnsi } from './ansi.ts';
import { LineSplitter, type LogLine } from './log-lines.ts';
import type { LogSource } from './log-source.ts';

export const blockLines = 256;
const maxBlocks = 64;
const pieceBytes = 128 * 1024;
/** More than this of one line is not read: the next line is looked up instead. */
const longLineBytes = 512 * 1024;
/** More than this in one second of stream is a flood: what comes meanwhile is skipped and loaded when looked at. */
const floodBytes = 6 * 1024 * 1024;

export interface StoreEvents {
  /** Lines from `line` on have come or changed. */
  onGrown(line: number): void;
  /** The log is complete. */
  onEnd(): void;
  /** The log could not be read; opening it again may help. */
  onTrouble(error: unknown): void;
  /** Ms by any clock. */
  now(): number;
}

export class LogStore {
  readonly #source: LogSource;
  readonly #events: StoreEvents;
  readonly #blocks = new Map<number, LogLine[]>();
  readonly #starts = new Map<number, number>([[0, 0]]);
  readonly #loading = new Map<number, Promise<readonly LogLine[]>>();
  #lines = 0;
  #bytes = 0;
  #live = false;
  #tail: { splitter: LineSplitter; line: number } | undefined;
  #stop: () => void = () => {};
  #window = { since: 0, bytes: 0 };

  constructor(source: LogSource, events: StoreEvents) {
    this.#source = source;
    this.#events = events;
  }

  /** Number of lines, the unfinished last one included. */
  get lines(): number {
    return this.#lines;
  }

  get live(): boolean {
    return this.#live;
  }

  get lastBlock(): number {
    return Math.max(0, Math.floor((this.#lines - 1) / blockLines));
  }

  /** Reads where the log ends and, while it is live, follows it from there. Also after having been closed. */
  async open(): Promise<void> {
    this.close();
    const { lines, bytes, live } = await this.#source.locate({ line: Number.MAX_SAFE_INTEGER });
    const first = Math.max(0, Math.floor((lines - 1) / blockLines)) * blockLines;
    const { offset } = await this.#source.locate({ line: first });
    this.#live = live;
    this.#lines = lines;
    this.#bytes = bytes;
    for (const [index, block] of this.#blocks) if (block.length < blockLines) this.#blocks.delete(index);
    this.#starts.set(first / blockLines, offset);
    if (live) this.#follow(first, offset);
    this.#events.onGrown(first);
  }

  /** Stops following; what is held stays readable. */
  close(): void {
    this.#stop();
    this.#stop = () => {};
    this.#tail = undefined;
  }

  /** The lines of a block that are there now. */
  async block(index: number): Promise<readonly LogLine[]> {
    const held = this.held(index);
    if (held) return held;
    let loading = this.#loading.get(index);
    if (!loading) {
      loading = this.#load(index).finally(() => this.#loading.delete(index));
      this.#loading.set(index, loading);
    }
    return loading;
  }

  /** A block if it is loaded; the last one of a live log comes by the stream. */
  held(index: number): readonly LogLine[] | undefined {
    const block = this.#blocks.get(index);
    if (!block) return undefined;
    this.#blocks.delete(index);
    this.#blocks.set(index, block);
    const tail = this.#tail;
    if (tail && tail.splitter.pendingBytes > 0 && Math.floor(tail.line / blockLines) === index) return [...block, tail.splitter.partial()];
    return block;
  }

  /** The nearest line before `line` that fits, among those that are loaded. */
  findBack(line: number, fits: (text: string) => boolean): number | undefined {
    for (const index of [...this.#blocks.keys()].sort((a, b) => b - a)) {
      const lines = this.#blocks.get(index) ?? [];
      for (let at = Math.min(lines.length, line - index * blockLines) - 1; at >= 0; at -= 1) {
        if (fits(stripAnsi(lines[at]?.text ?? ''))) return index * blockLines + at;
      }
    }
    return undefined;
  }

  async #load(index: number): Promise<readonly LogLine[]> {
    const start = this.#starts.get(index) ?? (await this.#source.locate({ line: index * blockLines })).offset;
    const splitter = new LineSplitter(start);
    const lines: LogLine[] = [];
    while (lines.length < blockLines && splitter.offset < this.#bytes) {
      const piece = await this.#source.read(splitter.offset, Math.min(this.#bytes, splitter.offset + pieceBytes));
      if (piece.length === 0) break;
      lines.push(...splitter.push(piece, blockLines - lines.length));
      if (splitter.pendingBytes > longLineBytes) {
        const next = await this.#source.locate({ line: index * blockLines + lines.length + 1 });
        if (next.offset <= splitter.offset) break; // it is the last line
        lines.push(splitter.skipTo(next.offset));
      }
    }
    if (lines.length === blockLines) this.#starts.set(index + 1, splitter.offset);
    else if (splitter.pendingBytes > 0) lines.push(splitter.partial());
    if (lines.length === blockLines || !this.#live) this.#keep(index, lines);
    return lines;
  }

  #keep(index: number, lines: LogLine[]): void {
    this.#blocks.set(index, lines);
    for (const old of this.#blocks.keys()) {
      if (this.#blocks.size <= maxBlocks) break;
      if (old !== this.lastBlock) this.#blocks.delete(old);
    }
  }

  #follow(line: number, offset: number): void {
    const tail = { splitter: new LineSplitter(offset), line };
    this.#tail = tail;
    this.#keep(line / blockLines, []);
    this.#window = { since: this.#events.now(), bytes: 0 };
    this.#stop = this.#source.follow(offset, {
      onBytes: (from, bytes) => this.#tail === tail && this.#append(tail, from, bytes),
      onEnd: () => {
        if (this.#tail !== tail) return;
        if (tail.splitter.pendingBytes > 0) this.#addLine(tail, tail.splitter.partial());
        this.#live = false;
        this.#tail = undefined;
        this.#events.onEnd();
      },
    });
  }

  /** Repeats after a reconnection are dropped; a gap or a flood starts again at the end. */
  #append(tail: { splitter: LineSplitter; line: number }, from: number, bytes: Uint8Array): void {
    const known = tail.splitter.offset - from;
    if (known >= bytes.length) return;
    if (known < 0 || this.#flooded(bytes.length)) {
      void this.open().catch((error: unknown) => this.#events.onTrouble(error));
      return;
    }
    const first = tail.line;
    for (const line of tail.splitter.push(bytes.subarray(known))) this.#addLine(tail, line);
    this.#bytes = Math.max(this.#bytes, tail.splitter.offset);
    this.#lines = Math.max(this.#lines, tail.line + (tail.splitter.pendingBytes > 0 ? 1 : 0));
    this.#events.onGrown(first);
  }

  #addLine(tail: { splitter: LineSplitter; line: number }, line: LogLine): void {
    const index = Math.floor(tail.line / blockLines);
    const block = this.#blocks.get(index);
    if (block) block.push(line);
    else this.#keep(index, [line]);
    tail.line += 1;
    this.#lines = Math.max(this.#lines, tail.line);
  }

  #flooded(bytes: number): boolean {
    const now = this.#events.now();
    if (now - this.#window.since > 1000) this.#window = { since: now, bytes: 0 };
    this.#window.bytes += bytes;
    return this.#window.bytes > floodBytes;
  }
}

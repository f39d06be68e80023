/**
 * Append-only bytes in a directory of fixed-size segment files: the spool of a run and the stored log of a step. A file is
 * named after the offset of its first byte, so an offset finds its file by arithmetic and the length is known after kill -9
 * from the files alone. What was dropped at the front stays dropped: offsets never change.
 */
import { constants, writeSync } from 'node:fs';
import { mkdir, open, rm, type FileHandle } from 'node:fs/promises';
import { anySignal, type Waits } from '@croft/runtime/clock';
import { CroftError, systemCode } from '@croft/runtime/errors';
import { pulled, type Take } from './pour.ts';
import { createRecent } from './recent.ts';
import { SegmentCursor } from './segment-cursor.ts';
import { pourGrowing, type LogEnd } from './segment-pour.ts';
import { cutSegments, logFailure, segmentPath, surveySegments, type Extent } from './segment-files.ts';

const defaultSegmentBytes = 16 * 1024 * 1024;
/** What a key or a line is not longer than. */
const littleBytes = 4 * 1024;

export interface LogOptions {
  readonly segmentBytes?: number;
  /** Writes up to 4 KiB without a thread, whose turn a person who types would wait for; a disk that is stuck then holds up the whole process. */
  readonly writesLittleAtOnce?: boolean;
}

export interface ReadOptions {
  /** Each piece is good only until the next one is asked for: a large log is then read without making garbage. */
  readonly reuseBuffer?: boolean | undefined;
}

export interface SegmentLog extends AsyncDisposable {
  /** Offset of the first byte still kept. */
  readonly from: number;
  /** Offset after the last byte. */
  readonly length: number;
  readonly finished: boolean;
  /**
   * Appends all of it or nothing; calls are carried out in order, one at a time.
   * @throws CroftError `exhausted` when the disk is full; `length` is unchanged and the call may be repeated
   */
  append(chunk: Uint8Array): Promise<void>;
  /** What was appended before the call survives a power failure after it. */
  sync(): Promise<void>;
  /** Forgets everything from `length` on. @throws CroftError `invalid` outside of what is kept */
  truncate(length: number): Promise<void>;
  /** Deletes the segments that lie wholly below `offset`; never more than that. */
  dropBefore(offset: number): Promise<void>;
  /** The bytes that are there when the first one is asked for. @throws CroftError `not-found` below `from` */
  read(range: { from: number; to?: number | undefined } & ReadOptions): AsyncGenerator<Buffer>;
  /** The same, going on with what is appended until `finish` was called; an abort ends it with the signal's reason. */
  follow(from: number, waits: Waits & ReadOptions): AsyncGenerator<Buffer>;
  /** The same, each piece given to `take`: little that has just been appended comes from memory and at once. @throws NotTaken as well */
  pour(from: number, take: Take, waits: Waits): Promise<void>;
  /** Nothing will be appended any more: lets followers end. Not remembered on disk. */
  finish(): void;
}

/** Opens the log in `dir`, which is made when missing. Only one process may have it open for writing. */
export async function openSegmentLog(dir: string, options: LogOptions = {}): Promise<SegmentLog> {
  const { segmentBytes = defaultSegmentBytes, writesLittleAtOnce = false } = options;
  try {
    await mkdir(dir, { recursive: true, mode: 0o700 });
    const extent = await surveySegments(dir, segmentBytes);
    return new SegmentFiles(dir, { segmentBytes, writesLittleAtOnce }, extent);
  } catch (error) {
    throw logFailure(error, `open the log in ${dir}`);
  }
}

class SegmentFiles implements SegmentLog {
  readonly #dir: string;
  readonly #segmentBytes: number;
  readonly #writesLittleAtOnce: boolean;
  #from: number;
  #length: number;
  #tail: { readonly start: number; readonly file: FileHandle } | undefined;
  readonly #unsynced = new Set<number>();
  /** Whether the names of the files are on disk; those found at the opening may not be. */
  #named = false;
  #last: Promise<void> = Promise.resolve();
  #synced: Promise<void> = Promise.resolve();
  #closing: Promise<unknown> = Promise.resolve();
  readonly #followers = new Set<() => void>();
  readonly #recent = createRecent();
  #finished = false;
  #closed = false;

  constructor(dir: string, options: Required<LogOptions>, extent: Extent) {
    this.#dir = dir;
    this.#segmentBytes = options.segmentBytes;
    this.#writesLittleAtOnce = options.writesLittleAtOnce;
    this.#from = extent.from;
    this.#length = extent.length;
  }

  get from(): number {
    return this.#from;
  }

  get length(): number {
    return this.#length;
  }

  get finished(): boolean {
    return this.#finished;
  }

  append(chunk: Uint8Array): Promise<void> {
    return this.#inTurn('append to the log', async () => {
      if (this.#finished) throw new CroftError('conflict', 'append to the log: it is finished');
      try {
        await this.#write(chunk);
      } catch (error) {
        await this.#cut(this.#length);
        throw error;
      }
      this.#recent.add(chunk, this.#length);
      this.#length += chunk.length;
      this.#wake();
    });
  }

  /** Beside what is appended meanwhile, which need not wait for the disk. */
  sync(): Promise<void> {
    const before = this.#last;
    const doing = 'write the log to disk';
    const done = this.#synced.then(async () => {
      await before;
      if (this.#closed) throw new CroftError('stopped', `${doing}: it was closed`);
      await this.#syncFiles();
    });
    this.#synced = done.catch(() => {});
    return done.catch((error: unknown) => {
      throw logFailure(error, `${doing} in ${this.#dir}`);
    });
  }

  truncate(length: number): Promise<void> {
    return this.#inTurn('cut the log', async () => {
      if (length < this.#from || length > this.#length) {
        throw new CroftError('invalid', `cut the log to ${length} bytes: it holds ${this.#from} to ${this.#length}`);
      }
      await this.#cut(length);
      this.#recent.forget();
      this.#length = length;
      this.#wake();
    });
  }

  dropBefore(offset: number): Promise<void> {
    return this.#inTurn('drop the head of the log', async () => {
      const keep = this.#startOf(Math.min(offset, this.#length));
      if (keep <= this.#from) return;
      if (keep === this.#length) await (await open(this.#path(keep), constants.O_WRONLY | constants.O_CREAT, 0o600)).close();
      for (let start = this.#from; start < keep; start += this.#segmentBytes) {
        if (this.#tail?.start === start) this.#closeTail();
        await rm(this.#path(start), { force: true });
        this.#unsynced.delete(start);
        this.#from = start + this.#segmentBytes;
      }
    });
  }

  async *read({ from, to = Infinity, reuseBuffer }: { from: number; to?: number | undefined } & ReadOptions): AsyncGenerator<Buffer> {
    await using cursor = this.#cursor(from, reuseBuffer);
    const end = Math.min(to, this.#length);
    while (cursor.at < end) yield await cursor.next(end);
  }

  async *follow(from: number, { signal, reuseBuffer = false }: Waits & ReadOptions): AsyncGenerator<Buffer> {
    const pieces = pulled<Buffer>((take, left) => this.pour(from, take, { signal: anySignal(signal, left) }));
    for await (const piece of pieces) yield reuseBuffer ? piece : Buffer.from(piece);
  }

  async pour(from: number, take: Take, waits: Waits): Promise<void> {
    await using cursor = this.#cursor(from, true);
    const end = (): LogEnd => (this.#finished ? 'finished' : this.#closed ? 'closed' : 'open');
    const recent = (at: number): Buffer | undefined => (at < this.#from ? undefined : this.#recent.from(at));
    await pourGrowing({ cursor, length: () => this.#length, end, recent, followers: this.#followers }, take, waits);
  }

  finish(): void {
    this.#finished = true;
    this.#wake();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#closed = true;
    this.#wake();
    await Promise.all([this.#last, this.#synced]);
    this.#closeTail();
    await this.#closing;
  }

  /** Runs after everything asked for before; failures become `CroftError`s. */
  #inTurn(doing: string, act: () => Promise<void>): Promise<void> {
    const done = this.#last.then(async () => {
      if (this.#closed) throw new CroftError('stopped', `${doing}: it was closed`);
      await act();
    });
    this.#last = done.catch(() => {});
    return done.catch((error: unknown) => {
      throw logFailure(error, `${doing} in ${this.#dir}`);
    });
  }

  async #syncFiles(): Promise<void> {
    const starts = [...this.#unsynced].toReversed(); // meanwhile the oldest may be dropped, and need no disk
    if (starts.length === 0) return;
    const named = this.#named;
    this.#unsynced.clear();
    this.#named = true;
    try {
      for (const start of starts) await this.#syncFile(start);
      await using dir = named ? undefined : await open(this.#dir, 'r');
      await dir?.sync();
    } catch (error) {
      for (const start of starts) this.#unsynced.add(start);
      this.#named = false;
      throw error;
    }
  }

  async #syncFile(start: number): Promise<void> {
    if (this.#tail?.start === start) return this.#tail.file.datasync();
    try {
      await using file = await open(this.#path(start), 'r+');
      await file.datasync();
    } catch (error) {
      if (systemCode(error) !== 'ENOENT') throw error;
      await this.#last; // whoever removed it has noted that by then
      if (start >= this.#from && start < this.#length) throw error;
    }
  }

  async #write(chunk: Uint8Array): Promise<void> {
    const atOnce = this.#writesLittleAtOnce && chunk.length <= littleBytes;
    for (let done = 0; done < chunk.length;) {
      const at = this.#length + done;
      const file = await this.#tailAt(this.#startOf(at));
      const within = at % this.#segmentBytes;
      const part = Math.min(chunk.length - done, this.#segmentBytes - within);
      if (atOnce) done += writeSync(file.fd, chunk, done, part, within);
      else done += (await file.write(chunk, done, part, within)).bytesWritten;
      this.#unsynced.add(at - within);
    }
  }

  async #tailAt(start: number): Promise<FileHandle> {
    if (this.#tail?.start !== start) {
      this.#closeTail();
      this.#tail = { start, file: await open(this.#path(start), constants.O_WRONLY | constants.O_CREAT, 0o600) };
    }
    if (start >= this.#length) this.#named = false;
    return this.#tail.file;
  }

  /** Nobody waits for it but the disposal, since a sync may hold the file for long. */
  #closeTail(): void {
    this.#closing = Promise.all([this.#closing, this.#tail?.file.close()]);
    this.#closing.catch(() => {});
    this.#tail = undefined;
  }

  async #cut(length: number): Promise<void> {
    this.#closeTail();
    await cutSegments(this.#dir, length);
    const first = this.#startOf(length);
    for (const start of this.#unsynced) if (start > first) this.#unsynced.delete(start);
  }

  #cursor(from: number, reuseBuffer = false): SegmentCursor {
    if (from > this.#length) throw new CroftError('invalid', `read the log from byte ${from}: it ends at ${this.#length}`);
    return new SegmentCursor(from, { segmentBytes: this.#segmentBytes, reuseBuffer, open: (start) => this.#openToRead(start) });
  }

  async #openToRead(start: number): Promise<FileHandle> {
    try {
      return await open(this.#path(start), 'r');
    } catch (error) {
      if (systemCode(error) !== 'ENOENT') throw logFailure(error, `read the log in ${this.#dir}`);
      throw new CroftError('not-found', `read the log at byte ${start}: it was dropped; the first byte kept is ${this.#from}`);
    }
  }

  #wake(): void {
    for (const wake of this.#followers) wake();
  }

  #startOf(offset: number): number {
    return offset - (offset % this.#segmentBytes);
  }

  #path(start: number): string {
    return segmentPath(this.#dir, start);
  }
}

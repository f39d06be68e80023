/** A place in a segment log with the file that holds it; one file open at most. */
import type { FileHandle } from 'node:fs/promises';
import { CroftError } from '@croft/runtime/errors';

const readBytes = 256 * 1024;

export interface CursorOptions {
  readonly segmentBytes: number;
  /** Each piece is good only until the next one is asked for. */
  readonly reuseBuffer: boolean;
  open(start: number): Promise<FileHandle>;
}

export class SegmentCursor implements AsyncDisposable {
  at: number;
  readonly #segmentBytes: number;
  readonly #open: (start: number) => Promise<FileHandle>;
  readonly #reuses: boolean;
  #buffer: Buffer | undefined;
  #held: { readonly start: number; readonly file: FileHandle } | undefined;

  constructor(at: number, { segmentBytes, reuseBuffer, open }: CursorOptions) {
    this.at = at;
    this.#segmentBytes = segmentBytes;
    this.#open = open;
    this.#reuses = reuseBuffer;
  }

  async next(end: number): Promise<Buffer> {
    const within = this.at % this.#segmentBytes;
    const file = await this.#fileAt(this.at - within);
    const wanted = Math.min(end - this.at, readBytes, this.#segmentBytes - within);
    const target = this.#reuses ? (this.#buffer ??= Buffer.allocUnsafeSlow(readBytes)) : Buffer.allocUnsafeSlow(wanted);
    const { bytesRead, buffer } = await file.read(target, 0, wanted, within);
    if (bytesRead === 0) throw new CroftError('internal', `read the log at byte ${this.at}: its file is shorter than it was`);
    this.at += bytesRead;
    return buffer.subarray(0, bytesRead);
  }

  async #fileAt(start: number): Promise<FileHandle> {
    if (this.#held?.start !== start) {
      await this[Symbol.asyncDispose]();
      this.#held = { start, file: await this.#open(start) };
    }
    return this.#held.file;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const held = this.#held;
    this.#held = undefined;
    await held?.file.close();
  }
}

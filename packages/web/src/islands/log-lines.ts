/** Bytes into lines, in constant memory: of a very long line only its last screenful of carriage returns or its head is kept. */

export interface LogLine {
  readonly text: string;
  /** Bytes of this line that are not in `text`. */
  readonly cut: number;
}

export const maxLineBytes = 16 * 1024;

const lineFeed = 10;
const carriageReturn = 13;

export class LineSplitter {
  readonly #decoder = new TextDecoder();
  #pending: Uint8Array = new Uint8Array(0);
  #cut = 0;
  #offset: number;

  /** @param offset of the first byte that will be pushed */
  constructor(offset: number) {
    this.#offset = offset;
  }

  /** Offset after the last byte pushed. */
  get offset(): number {
    return this.#offset;
  }

  /** Bytes of the unfinished line so far. */
  get pendingBytes(): number {
    return this.#pending.length + this.#cut;
  }

  /** The lines that these bytes complete, at most `limit`; what follows them is left alone and not counted. */
  push(bytes: Uint8Array, limit = Number.POSITIVE_INFINITY): LogLine[] {
    const lines: LogLine[] = [];
    let from = 0;
    while (lines.length < limit) {
      const end = bytes.indexOf(lineFeed, from);
      if (end < 0) break;
      this.#keep(bytes.subarray(from, end));
      lines.push(this.partial());
      this.#clear();
      from = end + 1;
    }
    if (lines.length < limit) {
      this.#keep(bytes.subarray(from));
      from = bytes.length;
    }
    this.#offset += from;
    return lines;
  }

  /** The unfinished line as it is now. */
  partial(): LogLine {
    return { text: this.#decoder.decode(this.#pending), cut: this.#cut };
  }

  /** Ends the unfinished line without reading the rest of it; the next line begins at `offset`. */
  skipTo(offset: number): LogLine {
    this.#cut += offset - this.#offset;
    const line = this.partial();
    this.#offset = offset;
    this.#clear();
    return line;
  }

  #clear(): void {
    this.#pending = new Uint8Array(0);
    this.#cut = 0;
  }

  #keep(piece: Uint8Array): void {
    const total = this.#pending.length + piece.length;
    if (this.#cut === 0 && total <= maxLineBytes) {
      this.#pending = this.#pending.length === 0 ? piece.slice() : concat(this.#pending, piece);
      return;
    }
    // What a carriage return has overwritten is not worth keeping. The last byte may be the one of CR LF.
    const restart = piece.lastIndexOf(carriageReturn, piece.length - 2);
    if (restart >= 0) {
      this.#cut += this.#pending.length + restart + 1;
      this.#pending = new Uint8Array(0);
      this.#take(piece.subarray(restart + 1));
    } else this.#take(piece);
  }

  #take(piece: Uint8Array): void {
    const room = maxLineBytes - this.#pending.length;
    this.#pending = concat(this.#pending, piece.subarray(0, room));
    this.#cut += Math.max(0, piece.length - room);
  }
}

function concat(a: Uint8Array, b: Uint8Array): Uint8Array {
  const both = new Uint8Array(a.length + b.length);
  both.set(a);
  both.set(b, a.length);
  return both;
}

/**
 * A tar archive, pushed in pieces of any size, as calls to a sink: an entry, its content, its end. Pure and synchronous;
 * understands ustar, PAX (global headers are skipped) and GNU long names, and keeps only headers in memory.
 */
import { CroftError } from '@croft/runtime/errors';
import { blockSize, invalidHeader, parseHeader, parsePax, type TarHeader, withPax } from './tar-header.ts';

export interface TarSink {
  entry(header: TarHeader): void;
  /** A piece of the entry's content; the bytes are only valid during the call. */
  content(piece: Buffer): void;
  entryEnd(): void;
}

/** The long names and PAX records of one entry may not be larger together, bytes; nor may global ones. */
const maxMetaBytes = 1024 * 1024;
/** Links, devices, directories and fifos have no content, whatever their header says. */
const withoutContent = new Set(['1', '2', '3', '4', '5', '6']);

type Meta = 'g' | 'x' | 'L' | 'K';

export class TarParser {
  readonly #sink: TarSink;
  /** A header or meta data that does not come in one piece: what is here, and how much is not. */
  #partial: Buffer[] = [];
  #missing = blockSize;
  #meta: Meta | undefined;
  #content = 0;
  #padding = 0;
  #zeroBlocks = 0;
  #overrides = new Map<string, string>();
  /** What stands before the entry to come, bytes. */
  #metaBytes = 0;

  constructor(sink: TarSink) {
    this.#sink = sink;
  }

  /** True once the end-of-archive blocks were seen; what is pushed later is ignored. */
  get ended(): boolean {
    return this.#zeroBlocks === 2;
  }

  /** @throws CroftError `invalid` (Go's texts), and whatever the sink throws; the parser is of no use afterwards. */
  push(chunk: Buffer): void {
    for (let at = 0; at < chunk.length && !this.ended;) {
      if (this.#content > 0) at = this.#pass(chunk, at);
      else if (this.#padding > 0 && !this.#meta) at = this.#skip(chunk, at);
      else at = this.#gather(chunk, at);
    }
  }

  /** No more bytes. @throws CroftError `invalid` `tar error: unexpected EOF` in the middle of something. */
  end(): void {
    const within = this.#content > 0 || this.#padding > 0 || this.#meta || this.#partial.length > 0;
    if (!this.ended && within) throw new CroftError('invalid', 'tar error: unexpected EOF');
  }

  #pass(chunk: Buffer, at: number): number {
    const piece = chunk.subarray(at, at + this.#content);
    this.#content -= piece.length;
    this.#sink.content(piece);
    if (this.#content === 0) this.#sink.entryEnd();
    return at + piece.length;
  }

  #skip(chunk: Buffer, at: number): number {
    const length = Math.min(this.#padding, chunk.length - at);
    this.#padding -= length;
    return at + length;
  }

  #gather(chunk: Buffer, at: number): number {
    const piece = chunk.subarray(at, at + this.#missing);
    this.#missing -= piece.length;
    if (this.#missing > 0) {
      this.#partial.push(Buffer.from(piece));
      return at + piece.length;
    }
    const whole = this.#partial.length > 0 ? Buffer.concat([...this.#partial, piece]) : piece;
    this.#partial = [];
    this.#missing = blockSize;
    if (this.#meta) this.#onMeta(this.#meta, whole);
    else this.#onHeader(whole);
    return at + piece.length;
  }

  #onHeader(block: Buffer): void {
    if (block[0] === 0 && block.every((byte) => byte === 0)) {
      this.#zeroBlocks += 1;
      return;
    }
    if (this.#zeroBlocks > 0) throw invalidHeader();
    const raw = parseHeader(block);
    const header = isMeta(raw.type) ? raw : withPax(raw, this.#overrides);
    if (header.size < 0) throw invalidHeader();
    this.#padding = paddingOf(header.size);
    if (isMeta(raw.type)) return this.#startMeta(raw.type, raw.size);
    if ([...this.#overrides.keys()].some((key) => key.startsWith('GNU.sparse.')))
      throw new CroftError('invalid', 'tar error: sparse files are not supported');
    this.#overrides = new Map();
    this.#metaBytes = 0;
    this.#startEntry(header);
  }

  #startMeta(type: Meta, size: number): void {
    if (type !== 'g') this.#metaBytes += size + blockSize;
    if (Math.max(size, this.#metaBytes) > maxMetaBytes)
      throw new CroftError('invalid', `tar error: names and extended headers of an entry are larger than ${maxMetaBytes} bytes`);
    if (size === 0) return;
    this.#meta = type;
    this.#missing = size;
  }

  #onMeta(type: Meta, data: Buffer): void {
    if (type === 'L') this.#overrides.set('path', untilNul(data));
    else if (type === 'K') this.#overrides.set('linkpath', untilNul(data));
    else if (type === 'x') for (const [key, value] of parsePax(data)) this.#overrides.set(key, value);
    this.#meta = undefined;
  }

  #startEntry(header: TarHeader): void {
    const size = withoutContent.has(header.type) ? 0 : header.size;
    this.#content = size;
    this.#padding = paddingOf(size);
    this.#sink.entry({ ...header, size });
    if (size === 0) this.#sink.entryEnd();
  }
}

function isMeta(type: string): type is Meta {
  return type === 'g' || type === 'x' || type === 'L' || type === 'K';
}

function paddingOf(size: number): number {
  return (blockSize - (size % blockSize)) % blockSize;
}

function untilNul(data: Buffer): string {
  const end = data.indexOf(0);
  return data.toString('latin1', 0, end < 0 ? data.length : end);
}

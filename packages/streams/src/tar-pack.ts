/**
 * Packs entries as one gzip member around a tar archive: ustar where an entry fits, PAX records where it does not (long names
 * and links, bytes other than ASCII, sizes above 8 GiB). Streams; nothing is held but the piece under way.
 */
import { CroftError } from '@croft/runtime/errors';
import { isUtf8 } from 'node:buffer';
import { pipeline } from 'node:stream/promises';
import { createGzip } from 'node:zlib';
import { storedGzip } from './stored-gzip.ts';
import { quoteName } from './quote-name.ts';
import { blockSize, formatHeader, formatPax, maxOctal, splitName, type TarHeader } from './tar-header.ts';

export type TarEntry =
  | {
      readonly kind: 'file';
      readonly path: Buffer;
      /** Permission bits. */
      readonly mode: number;
      readonly size: number;
      /** Seconds since 1970. */
      readonly mtime: number;
      /** Exactly `size` bytes. */
      readonly content: Buffer | AsyncIterable<Uint8Array>;
    }
  | { readonly kind: 'link'; readonly path: Buffer; readonly target: Buffer }
  | { readonly kind: 'directory'; readonly path: Buffer };

/** Small pieces are gathered up to this size before they go into gzip: mostly one stored block. */
const batchBytes = 56 * 1024;
const chunkSize = 128 * 1024;

/**
 * @param level 0 (stored) to 9; 1 is the default and nearly as small as 6 for source text
 * @throws what `entries` throws, and CroftError `invalid` when a content is not as long as its entry says
 */
export async function* packTarGz(
  entries: AsyncIterable<TarEntry>,
  { level = 1 }: { level?: number | undefined } = {},
): AsyncGenerator<Buffer, void> {
  if (level === 0) return yield* storedGzip(tarBytes(entries));
  const gzip = createGzip({ level, chunkSize });
  const fed = pipeline(tarBytes(entries), gzip);
  // The reader of `gzip` meets the same failure.
  fed.catch(() => undefined);
  try {
    yield* gzip;
    await fed;
  } finally {
    gzip.destroy();
  }
}

async function* tarBytes(entries: AsyncIterable<TarEntry>): AsyncGenerator<Buffer, void> {
  let batch: Uint8Array[] = [];
  let length = 0;
  const add = (piece: Uint8Array): void => {
    batch.push(piece);
    length += piece.length;
  };
  const take = (): Buffer => {
    const whole = Buffer.concat(batch, length);
    batch = [];
    length = 0;
    return whole;
  };
  for await (const entry of entries) {
    add(header(entry));
    if (entry.kind === 'file') {
      let left = entry.size;
      for await (const piece of Buffer.isBuffer(entry.content) ? [entry.content] : entry.content) {
        left -= piece.length;
        if (left < 0) break;
        add(piece);
        if (length >= batchBytes) yield take();
      }
      if (left !== 0) throw wrongLength(entry, left);
      add(padding.subarray(0, -entry.size & (blockSize - 1)));
    }
    if (length >= batchBytes) yield take();
  }
  add(Buffer.alloc(2 * blockSize));
  yield take();
}

const padding = Buffer.alloc(blockSize);

function wrongLength({ path, size }: TarEntry & { kind: 'file' }, left: number): CroftError {
  const amount = left < 0 ? 'more' : `only ${size - left}`;
  return new CroftError('invalid', `packing ${quoteName(path.toString('latin1'))}: its size is ${size} bytes, but there were ${amount}`);
}

function header(entry: TarEntry): Buffer {
  const whole = headerOf(entry);
  const records = recordsFor(whole);
  if (records.size === 0) return formatHeader(whole);
  const data = formatPax(records);
  return Buffer.concat([
    formatHeader({ name: 'PaxHeaders/entry', type: 'x', mode: 0o644, size: data.length, mtime: 0, target: '' }),
    data,
    Buffer.alloc(-data.length & (blockSize - 1)),
    formatHeader(withoutRecords(whole, records)),
  ]);
}

function headerOf(entry: TarEntry): TarHeader {
  const name = entry.path.toString('latin1');
  switch (entry.kind) {
    case 'file':
      return { name, type: '0', mode: entry.mode & 0o7777, size: entry.size, mtime: entry.mtime, target: '' };
    case 'link':
      return { name, type: '2', mode: 0o777, size: 0, mtime: 0, target: entry.target.toString('latin1') };
    case 'directory':
      return { name: name.endsWith('/') ? name : `${name}/`, type: '5', mode: 0o755, size: 0, mtime: 0, target: '' };
    default:
      return entry satisfies never;
  }
}

function recordsFor({ name, target, size, mtime }: TarHeader): Map<string, string> {
  const records = new Map<string, string>();
  if (!isAscii(name) || !splitName(name)) records.set('path', name);
  if (!isAscii(target) || target.length > 100) records.set('linkpath', target);
  if (size > maxOctal) records.set('size', String(size));
  if (!Number.isInteger(mtime) || mtime < 0 || mtime > maxOctal) records.set('mtime', String(mtime));
  const binary = [...records.values()].some((value) => !isUtf8(Buffer.from(value, 'latin1')));
  return binary ? new Map([['hdrcharset', 'BINARY'], ...records]) : records;
}

/** What stands in the header beside PAX records, for programs that do not know them. */
function withoutRecords(header: TarHeader, records: ReadonlyMap<string, string>): TarHeader {
  return {
    ...header,
    name: records.has('path') ? `${header.name.slice(0, 99)}${header.type === '5' ? '/' : ''}` : header.name,
    target: header.target.slice(0, 100),
    size: records.has('size') ? 0 : header.size,
    mtime: records.has('mtime') ? 0 : header.mtime,
  };
}

function isAscii(text: string): boolean {
  return /^[\0-\x7f]*$/.test(text);
}

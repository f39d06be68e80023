/**
 * Packs entries as one gzip member around a tar archive: ustar where an entry fits, PAX records where it does not (long names
 * and links, bytes other than ASCII, sizes above 8 GiB). Streams; nothing is held but the piece under way.
 */
import { CroftError } from '@croft/runtime/errors';
import { isUtf8 } from 'node:buffer';
import { type Filler, type GzipLevel, parallelGzip, type Piece } from './parallel-gzip.ts';
import { storedGzip } from './stored-gzip.ts';
import { quoteName } from './quote-name.ts';
import {
  blockSize,
  formatHeader,
  formatPax,
  maxOctal,
  maxOwner,
  maxOwnerName,
  splitName,
  type TarHeader,
  type TarOwner,
} from './tar-header.ts';

export type { TarOwner } from './tar-header.ts';

interface Attributes {
  readonly path: Buffer;
  /** Permission bits. */
  readonly mode: number;
  /** Seconds since 1970. */
  readonly mtime: number;
  /** Root without a name when absent. */
  readonly owner?: TarOwner;
}

/**
 * Puts a content of at most some hundred KiB to where it is compressed, at once. The number of bytes is returned: no more than were announced,
 * and fewer when it has become shorter since. Undefined leaves the entry out: it is gone.
 */
export type ReadInto = (memory: Buffer, at: number) => number | undefined;

type FileEntry = TarEntry & { readonly kind: 'file' };

export type TarEntry =
  | (Attributes & {
      readonly kind: 'file';
      readonly size: number;
      /** Exactly `size` bytes, unless it is read at once. */
      readonly content: Buffer | AsyncIterable<Uint8Array> | ReadInto;
    })
  | (Pick<Attributes, 'path'> & Partial<Attributes> & { readonly kind: 'link'; readonly target: Buffer })
  | (Pick<Attributes, 'path'> & Partial<Attributes> & { readonly kind: 'directory' })
  | (Attributes & { readonly kind: 'fifo' })
  | (Attributes & { readonly kind: 'block-device' | 'character-device'; readonly device: { major: number; minor: number } });

/** Small pieces are gathered up to this size before they go into a stored gzip: mostly one block. */
const batchBytes = 56 * 1024;
const padding = Buffer.alloc(blockSize);

/**
 * What an entry holds may be overwritten once the next is asked for, or the next several: many small ones together cost fewer turns.
 * @param level 0 (stored) to 9, or `usual` for what others make at 6; 1 is the default and nearly as small for source text
 * @throws what `entries` throws, and CroftError `invalid` when a content is not as long as its entry says
 */
export function packTarGz(
  entries: AsyncIterable<TarEntry | readonly TarEntry[]>,
  { level = 1 }: { level?: GzipLevel | undefined } = {},
): AsyncGenerator<Buffer, void> {
  return level === 0 ? storedGzip(gathered(tarPieces(entries))) : parallelGzip(tarPieces(entries), { level });
}

/** In pieces of its own, a stored block or more each. */
async function* gathered(pieces: AsyncIterable<readonly Piece[]>): AsyncGenerator<Buffer, void> {
  let batch: Uint8Array[] = [];
  let length = 0;
  for await (const piece of flat(pieces)) {
    length += piece.length;
    if (length < batchBytes) batch.push(Buffer.from(piece)); // a copy
    else {
      yield Buffer.concat([...batch, piece], length);
      batch = [];
      length = 0;
    }
  }
  yield Buffer.concat(batch, length);
}

async function* flat(pieces: AsyncIterable<readonly Piece[]>): AsyncGenerator<Uint8Array, void> {
  for await (const together of pieces) for (const piece of together) yield piece instanceof Uint8Array ? piece : filled(piece);
}

function filled({ maxBytes, fill }: Filler): Buffer {
  const memory = Buffer.allocUnsafe(maxBytes);
  return memory.subarray(0, fill(memory, 0));
}

async function* tarPieces(entries: AsyncIterable<TarEntry | readonly TarEntry[]>): AsyncGenerator<readonly Piece[], void> {
  for await (const given of entries) {
    const pieces: Piece[] = [];
    for (const entry of isSeveral(given) ? given : [given]) {
      if (entry.kind !== 'file') pieces.push(header(entry));
      else if (typeof entry.content === 'function') pieces.push(readWhole(entry, entry.content));
      else if (Buffer.isBuffer(entry.content)) pieces.push(header(entry), checked(entry, entry.content), paddingOf(entry));
      else {
        yield [...pieces.splice(0), header(entry)];
        yield* contentOf(entry, entry.content);
        pieces.push(paddingOf(entry));
      }
    }
    yield pieces;
  }
  yield [Buffer.alloc(2 * blockSize)];
}

function isSeveral(given: TarEntry | readonly TarEntry[]): given is readonly TarEntry[] {
  return Array.isArray(given);
}

function checked(entry: FileEntry, content: Buffer): Buffer {
  if (content.length !== entry.size) throw wrongLength(entry, entry.size - content.length);
  return content;
}

/** Header, content and padding. */
function readWhole(entry: FileEntry, read: ReadInto): Filler {
  const announced = header(entry);
  const { length } = announced;
  return {
    maxBytes: length + entry.size + blockSize,
    fill(memory, at) {
      const size = read(memory, at + length);
      if (size === undefined) return 0;
      const head = size === entry.size ? announced : header({ ...entry, size });
      head.copy(memory, at);
      const end = at + length + size;
      const padded = end + (-size & (blockSize - 1));
      memory.fill(0, end, padded);
      return padded - at;
    },
  };
}

async function* contentOf(entry: FileEntry, content: AsyncIterable<Uint8Array>): AsyncGenerator<readonly Uint8Array[], void> {
  let left = entry.size;
  for await (const piece of content) {
    left -= piece.length;
    if (left < 0) break;
    yield [piece];
  }
  if (left !== 0) throw wrongLength(entry, left);
}

function paddingOf({ size }: FileEntry): Buffer {
  return padding.subarray(0, -size & (blockSize - 1));
}

function wrongLength({ path, size }: FileEntry, left: number): CroftError {
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

/** The type flags of POSIX. */
const types = { file: '0', link: '2', 'character-device': '3', 'block-device': '4', directory: '5', fifo: '6' } as const;

function headerOf(entry: TarEntry): TarHeader {
  const name = entry.path.toString('latin1');
  const { kind, mode = kind === 'directory' ? 0o755 : 0o777, mtime = 0, owner } = entry;
  return {
    name: kind === 'directory' && !name.endsWith('/') ? `${name}/` : name,
    type: types[kind],
    mode: mode & 0o7777,
    size: kind === 'file' ? entry.size : 0,
    mtime,
    target: kind === 'link' ? entry.target.toString('latin1') : '',
    owner,
    device: kind === 'block-device' || kind === 'character-device' ? entry.device : undefined,
  };
}

function recordsFor({ name, target, size, mtime, owner }: TarHeader): Map<string, string> {
  const records = new Map<string, string>();
  if (!isAscii(name) || !splitName(name)) records.set('path', name);
  if (!isAscii(target) || target.length > 100) records.set('linkpath', target);
  if (size > maxOctal) records.set('size', String(size));
  if (!Number.isInteger(mtime) || mtime < 0 || mtime > maxOctal) records.set('mtime', String(mtime));
  for (const key of ['uid', 'gid'] as const) if (owner && owner[key] > maxOwner) records.set(key, String(owner[key]));
  for (const key of ['uname', 'gname'] as const) {
    if (owner && (owner[key].length > maxOwnerName || !isAscii(owner[key]))) records.set(key, owner[key]);
  }
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
    owner: header.owner && withoutOwner(header.owner, records),
  };
}

function withoutOwner({ uid, gid, uname, gname }: TarOwner, records: ReadonlyMap<string, string>): TarOwner {
  return {
    uid: records.has('uid') ? 0 : uid,
    gid: records.has('gid') ? 0 : gid,
    uname: records.has('uname') ? '' : uname,
    gname: records.has('gname') ? '' : gname,
  };
}

function isAscii(text: string): boolean {
  return /^[\0-\x7f]*$/.test(text);
}

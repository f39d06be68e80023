/**
 * The 512-byte tar header and PAX records (POSIX.1-2001 pax, ustar, GNU), both ways. Names are *byte strings*: one character
 * for each byte (latin1), so that names in any encoding survive; text for people comes from `quoteName`.
 */
import { CroftError } from '@croft/runtime/errors';
import { quoteName } from './quote-name.ts';

export const blockSize = 512;

export interface TarHeader {
  readonly name: string;
  /** The type flag as it stands in the header. */
  readonly type: string;
  readonly mode: number;
  /** Content that follows, bytes. */
  readonly size: number;
  /** Seconds since 1970, perhaps with a fraction. */
  readonly mtime: number;
  readonly target: string;
  readonly owner?: TarOwner | undefined;
  /** Of a device. */
  readonly device?: { readonly major: number; readonly minor: number } | undefined;
}

/** Names are byte strings, empty when not known. */
export interface TarOwner {
  readonly uid: number;
  readonly gid: number;
  readonly uname: string;
  readonly gname: string;
}

const nobody: TarOwner = { uid: 0, gid: 0, uname: '', gname: '' };
/** What all headers have in common; the checksum ends on a space. */
const blank = Buffer.alloc(blockSize);
blank.write('ustar\x0000', 257, 'latin1');
blank.write(' ', 155, 'latin1');

/** @throws CroftError `invalid` `tar error: archive/tar: invalid tar header` */
export function parseHeader(block: Buffer): TarHeader {
  if (!checksums(block).includes(number(block, 148, 8))) throw invalidHeader();
  const posix = block.toString('latin1', 257, 263) === 'ustar\0';
  const prefix = posix ? text(block, 345, 155) : '';
  const name = text(block, 0, 100);
  return {
    name: prefix ? `${prefix}/${name}` : name,
    type: block.toString('latin1', 156, 157),
    mode: number(block, 100, 8),
    size: number(block, 124, 12),
    mtime: number(block, 136, 12),
    target: text(block, 157, 100),
  };
}

/** @throws CroftError `invalid` when a field does not fit; use PAX records for what does not fit. */
export function formatHeader({ name, type, mode, size, mtime, target, owner = nobody, device }: TarHeader): Buffer {
  const split = splitName(name);
  if (!split) throw new CroftError('invalid', `${quoteName(name)} does not fit a tar header`);
  const block = Buffer.allocUnsafe(blockSize); // in memory that it shares with others
  blank.copy(block);
  block.write(split.name, 0, 'latin1');
  writeOctal(block, mode, octals.mode);
  writeOctal(block, owner.uid, octals.uid);
  writeOctal(block, owner.gid, octals.gid);
  writeOctal(block, size, octals.size);
  writeOctal(block, mtime, octals.mtime);
  block.write(type, 156, 'latin1');
  if (target !== '') block.write(target, 157, 100, 'latin1');
  block.write(owner.uname, 265, maxOwnerName, 'latin1');
  block.write(owner.gname, 297, maxOwnerName, 'latin1');
  if (device) writeOctal(block, device.major, octals.major);
  if (device) writeOctal(block, device.minor, octals.minor);
  block.write(split.prefix, 345, 'latin1');
  writeOctal(block, checksums(block)[0], octals.checksum);
  return block;
}

interface OctalField {
  readonly at: number;
  readonly digits: number;
}

const octals = {
  mode: { at: 100, digits: 7 },
  uid: { at: 108, digits: 7 },
  gid: { at: 116, digits: 7 },
  size: { at: 124, digits: 11 },
  mtime: { at: 136, digits: 11 },
  checksum: { at: 148, digits: 6 },
  major: { at: 329, digits: 7 },
  minor: { at: 337, digits: 7 },
} as const;

/** The NUL behind it stands there already. */
function writeOctal(block: Buffer, value: number, { at, digits }: OctalField): void {
  let left = value;
  for (let digit = at + digits - 1; digit >= at; digit -= 1) {
    block[digit] = 0x30 + (left % 8);
    left = Math.floor(left / 8);
  }
  if (left !== 0) throw new CroftError('invalid', `${value} does not fit a tar header`);
}

/** The largest numbers the octal fields of a header hold: size and time, and the number of an owner. */
export const maxOctal = 8 ** 11 - 1;
export const maxOwner = 8 ** 7 - 1;
/** The longest name of an owner. */
export const maxOwnerName = 32;

/**
 * How a name is divided between the header's fields; undefined when it does not fit. Where it can be, by its directory: what lies in one
 * has the same bytes in the same place as the header before, and an archive of small files becomes 0.1 % smaller.
 */
export function splitName(name: string): { prefix: string; name: string } | undefined {
  const divided = (at: number) =>
    at > 0 && at <= 155 && at < name.length - 1 && name.length - at <= 101
      ? { prefix: name.slice(0, at), name: name.slice(at + 1) }
      : undefined;
  const whole = name.length <= 100 ? { prefix: '', name } : undefined;
  return divided(name.lastIndexOf('/', name.length - 2)) ?? whole ?? divided(name.indexOf('/', name.length - 101));
}

/** @throws CroftError `invalid` when the records are not well formed. */
export function parsePax(data: Buffer): Map<string, string> {
  const records = new Map<string, string>();
  for (let at = 0; at < data.length;) {
    const space = data.indexOf(0x20, at);
    const digits = space < 0 ? '' : data.toString('latin1', at, space);
    const end = at + Number(digits);
    const equals = data.indexOf(0x3d, space);
    if (!/^\d{1,10}$/.test(digits) || end > data.length || data[end - 1] !== 0x0a || equals < 0 || equals >= end) throw invalidHeader();
    records.set(data.toString('latin1', space + 1, equals), data.toString('latin1', equals + 1, end - 1));
    at = end;
  }
  return records;
}

export function formatPax(records: ReadonlyMap<string, string>): Buffer {
  const lines = [...records].map(([key, value]) => {
    const rest = ` ${key}=${value}\n`;
    let length = rest.length + 1;
    while (String(length).length + rest.length !== length) length = String(length).length + rest.length;
    return `${length}${rest}`;
  });
  return Buffer.from(lines.join(''), 'latin1');
}

/** The header with what PAX records say instead. */
export function withPax(header: TarHeader, records: ReadonlyMap<string, string>): TarHeader {
  const size = records.get('size');
  const mtime = records.get('mtime');
  if (size !== undefined && !/^\d{1,15}$/.test(size)) throw invalidHeader();
  if (mtime !== undefined && !/^-?\d{1,15}(\.\d*)?$/.test(mtime)) throw invalidHeader();
  return {
    ...header,
    name: records.get('path') || header.name,
    target: records.get('linkpath') || header.target,
    size: size === undefined ? header.size : Number(size),
    mtime: mtime === undefined ? header.mtime : Number(mtime),
  };
}

export function invalidHeader(): CroftError {
  return new CroftError('invalid', 'tar error: archive/tar: invalid tar header');
}

/** Unsigned and signed: old programs summed signed characters. */
function checksums(block: Buffer): [number, number] {
  let unsigned = 8 * 0x20;
  let high = 0;
  for (let at = 0; at < blockSize; at += 1) {
    if (at === 148) at = 156;
    const byte = block[at] ?? 0;
    unsigned += byte;
    high += byte >> 7;
  }
  return [unsigned, unsigned - 256 * high];
}

function text(block: Buffer, from: number, length: number): string {
  const end = block.indexOf(0, from);
  return block.toString('latin1', from, end < 0 || end > from + length ? from + length : end);
}

/** Octal digits, or big-endian binary when the first bit is set (GNU). */
function number(block: Buffer, from: number, length: number): number {
  const first = block[from] ?? 0;
  if (first & 0x80) return binary(block, from, length);
  const digits = block.toString('latin1', from, from + length).replace(/^[\0 ]+|[\0 ].*$/gs, '');
  if (!/^[0-7]*$/.test(digits)) throw invalidHeader();
  return digits === '' ? 0 : Number.parseInt(digits, 8);
}

function binary(block: Buffer, from: number, length: number): number {
  const negative = ((block[from] ?? 0) & 0x40) !== 0;
  let value = negative ? -1n : 0n;
  for (let at = from; at < from + length; at += 1) {
    const byte = at === from ? (block[at] ?? 0) & 0x3f : (block[at] ?? 0);
    value = (value << (at === from ? 6n : 8n)) | BigInt(byte);
  }
  const result = Number(value);
  if (!Number.isSafeInteger(result)) throw invalidHeader();
  return result;
}

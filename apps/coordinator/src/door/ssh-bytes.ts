/** The bytes of SSH: numbers, and strings with their length in front (RFC 4251, section 5). What is read is hostile until it was parsed. */
import { CroftError } from '@croft/runtime/errors';

export interface SshReader {
  /** Where the next byte is. */
  readonly at: number;
  readonly isAtEnd: boolean;
  byte(): number;
  uint32(): number;
  uint64(): bigint;
  bytes(): Buffer;
  /** UTF-8 only. */
  text(): string;
}

/** Every method throws CroftError `invalid` when there is less than it needs. */
export function readSsh(content: Buffer): SshReader {
  let at = 0;
  const take = (length: number): Buffer => {
    if (length > content.length - at) throw new CroftError('invalid', 'it is cut off: its bytes end too early');
    at += length;
    return content.subarray(at - length, at);
  };
  const bytes = (): Buffer => take(take(4).readUInt32BE());
  return {
    get at() {
      return at;
    },
    get isAtEnd() {
      return at === content.length;
    },
    byte: () => take(1).readUInt8(),
    uint32: () => take(4).readUInt32BE(),
    uint64: () => take(8).readBigUInt64BE(),
    bytes,
    text() {
      const raw = bytes();
      const text = raw.toString('utf8');
      if (!Buffer.from(text, 'utf8').equals(raw)) throw new CroftError('invalid', 'a text is not UTF-8');
      return text;
    },
  };
}

export function sshString(content: string | Buffer): Buffer {
  const bytes = typeof content === 'string' ? Buffer.from(content, 'utf8') : content;
  return Buffer.concat([sshUint32(bytes.length), bytes]);
}

export function sshUint32(value: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32BE(value);
  return bytes;
}

export function sshUint64(value: bigint): Buffer {
  const bytes = Buffer.alloc(8);
  bytes.writeBigUInt64BE(value);
  return bytes;
}

/** A number that is not negative: no zeros in front, but one where the first bit would make it negative. */
export function sshMpint(magnitude: Buffer): Buffer {
  const first = magnitude.findIndex((byte) => byte !== 0);
  const bytes = first < 0 ? Buffer.alloc(0) : magnitude.subarray(first);
  return sshString((bytes[0] ?? 0) >= 0x80 ? Buffer.concat([Buffer.alloc(1), bytes]) : bytes);
}

/** Its magnitude, in exactly so many bytes where `length` is given. @throws CroftError `invalid` */
export function magnitudeOf(mpint: Buffer, length?: number): Buffer {
  if ((mpint[0] ?? 0) >= 0x80) throw new CroftError('invalid', 'a number is negative');
  const first = mpint.findIndex((byte) => byte !== 0);
  const bytes = first < 0 ? Buffer.alloc(0) : mpint.subarray(first);
  if (length === undefined) return bytes;
  if (bytes.length > length) throw new CroftError('invalid', 'a number is too large');
  return Buffer.concat([Buffer.alloc(length - bytes.length), bytes]);
}

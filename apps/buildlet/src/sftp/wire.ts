/** The bytes of SFTP, version 3: what is read from a packet within its bounds, and how replies are written. draft-ietf-secsh-filexfer-02. */
import { constants as system, type BigIntStats } from 'node:fs';

/** Kinds of packets. */
export const kinds = {
  init: 1,
  version: 2,
  open: 3,
  close: 4,
  read: 5,
  write: 6,
  lstat: 7,
  fstat: 8,
  setstat: 9,
  fsetstat: 10,
  opendir: 11,
  readdir: 12,
  remove: 13,
  mkdir: 14,
  rmdir: 15,
  realpath: 16,
  stat: 17,
  rename: 18,
  readlink: 19,
  symlink: 20,
  status: 101,
  handle: 102,
  data: 103,
  name: 104,
  attributes: 105,
  extended: 200,
  extendedReply: 201,
} as const;

export const statuses = { ok: 0, eof: 1, noSuchFile: 2, denied: 3, failure: 4, badMessage: 5, unsupported: 8 } as const;
export type Status = (typeof statuses)[keyof typeof statuses];

/** Something that is told to the client under the number of its request. */
export class StatusError extends Error {
  readonly status: Status;

  constructor(status: Status, message: string) {
    super(message);
    this.status = status;
  }
}

/** Of one packet, from its kind on. @throws StatusError `badMessage` beyond its end */
export interface Fields {
  u32(): number;
  u64(): bigint;
  /** A part of the packet, good as long as that is. */
  bytes(): Buffer;
  attributes(): GivenAttributes;
}

export interface GivenAttributes {
  readonly size?: bigint;
  readonly owner?: { readonly uid: number; readonly gid: number };
  readonly mode?: number;
  /** In seconds. */
  readonly times?: { readonly accessed: number; readonly modified: number };
}

const flags = { size: 1, owner: 2, mode: 4, times: 8, extended: 0x8000_0000 } as const;
const allFlags = flags.size | flags.owner | flags.mode | flags.times;
const maxU32 = 0xffff_ffff;

export function readFields(packet: Buffer, from: number): Fields {
  let at = from;
  const skip = (count: number): number => {
    if (count > packet.length - at) throw new StatusError(statuses.badMessage, 'the packet ends too early');
    at += count;
    return at - count;
  };
  const fields: Fields = {
    u32: () => packet.readUInt32BE(skip(4)),
    u64: () => packet.readBigUInt64BE(skip(8)),
    bytes() {
      const length = fields.u32();
      const start = skip(length);
      return packet.subarray(start, start + length);
    },
    attributes() {
      const has = fields.u32();
      const given = {
        ...(has & flags.size ? { size: fields.u64() } : {}),
        ...(has & flags.owner ? { owner: { uid: fields.u32(), gid: fields.u32() } } : {}),
        ...(has & flags.mode ? { mode: fields.u32() } : {}),
        ...(has & flags.times ? { times: { accessed: fields.u32(), modified: fields.u32() } } : {}),
      };
      if (has & flags.extended) for (let left = fields.u32() * 2; left > 0; left -= 1) fields.bytes();
      return given;
    },
  };
  return fields;
}

/** A number is 32 bits, a bigint 64, bytes come with their length; `raw` ones as they are. */
export type Field = number | bigint | Buffer | { readonly raw: Buffer };

/** A packet with its length. */
export function packet(kind: number, ...fields: readonly Field[]): Buffer {
  const size = fields.reduce<number>((sum, field) => sum + sizeOf(field), 1);
  const bytes = Buffer.allocUnsafe(4 + size);
  bytes.writeUInt32BE(size, 0);
  let at = bytes.writeUInt8(kind, 4);
  for (const field of fields) {
    if (typeof field === 'number') at = bytes.writeUInt32BE(field >>> 0, at);
    else if (typeof field === 'bigint') at = bytes.writeBigUInt64BE(field, at);
    else if ('raw' in field) at += field.raw.copy(bytes, at);
    else {
      at = bytes.writeUInt32BE(field.length, at);
      at += field.copy(bytes, at);
    }
  }
  return bytes;
}

function sizeOf(field: Field): number {
  if (typeof field === 'number') return 4;
  if (typeof field === 'bigint') return 8;
  return 'raw' in field ? field.raw.length : 4 + field.length;
}

/** @throws StatusError `failure` */
export function offsetOf(position: bigint): number {
  const offset = Number(position);
  if (!Number.isSafeInteger(offset)) throw new StatusError(statuses.failure, 'no file is that long');
  return offset;
}

export function statusPacket(id: number, status: Status, message: string): Buffer {
  return packet(kinds.status, id, status, Buffer.from(message), Buffer.alloc(0));
}

export const noAttributes: Field = 0;

export function attributesOf({ size, uid, gid, mode, atimeMs, mtimeMs }: BigIntStats): Field {
  const bytes = Buffer.allocUnsafe(32);
  let at = bytes.writeUInt32BE(allFlags, 0);
  at = bytes.writeBigUInt64BE(BigInt.asUintN(64, size), at);
  for (const value of [uid, gid, mode, inSeconds(atimeMs), inSeconds(mtimeMs)])
    at = bytes.writeUInt32BE(Number(value & BigInt(maxU32)), at);
  return { raw: bytes };
}

/** What 32 bits can say; before 1970 that is 1970. */
function inSeconds(ms: bigint): bigint {
  const seconds = ms / 1_000n;
  if (seconds < 0n) return 0n;
  return seconds > BigInt(maxU32) ? BigInt(maxU32) : seconds;
}

const { O_RDONLY, O_WRONLY, O_RDWR, O_APPEND, O_CREAT, O_TRUNC, O_EXCL, O_NONBLOCK } = system;

/** Of OPEN, as the system has them. A fifo without another end does not hold us up. */
export function systemFlags(asked: number): number {
  const access = [O_RDONLY, O_RDONLY, O_WRONLY, O_RDWR][asked & 3] ?? O_RDONLY;
  const more = [
    [4, O_APPEND],
    [8, O_CREAT],
    [16, O_TRUNC],
    [32, O_EXCL],
  ] as const;
  return more.reduce((sum, [bit, flag]) => (asked & bit ? sum | flag : sum), access | O_NONBLOCK);
}

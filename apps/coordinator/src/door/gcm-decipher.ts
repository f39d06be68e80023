/**
 * Packets decrypted with AES-GCM as the library does it (RFC 4253, section 6; RFC 5647 with OpenSSH's names), without what it costs there
 * beside decrypting: fresh memory for each packet and for each part of it, which the collector has to find.
 */
import { createDecipheriv, type CipherGCMTypes } from 'node:crypto';
import { dropOutside, free } from '@croft/streams/release';
import { countUp } from './gcm-cipher.ts';

/** What the library asks of a decipher. */
export interface PacketDecipher {
  /** Of the packet that comes next. The library reads it when keys change. */
  inSeqno: number;
  /** What it returns, where that is not undefined, is where the rest of the bytes begins, which others than this one decrypt. @throws Error for what is not authentic */
  decrypt(bytes: Buffer, from: number, to: number): number | undefined;
  /** Takes what a packet carries; what it answers is as the library has it, which sets another one while keys are exchanged. */
  _onPayload(payload: Buffer): number | false | undefined;
  free(): void;
}

export interface GcmOptions {
  readonly algorithm: CipherGCMTypes;
  readonly key: Buffer;
  /** Goes on from here. */
  readonly iv: Buffer;
  readonly inSeqno: number;
  readonly onPayload: PacketDecipher['_onPayload'];
  /** Set by whoever has copied all that a packet carries. */
  readonly taken: { isCopied: boolean };
}

const lengthBytes = 4;
const blockBytes = 16;
const tagBytes = 16;
/** As the library: 32 KiB of data with what is around them, and no more. */
const maxPacketBytes = 35_000;

export function createGcmDecipher({ algorithm, key, iv, inSeqno, onPayload, taken }: GcmOptions): PacketDecipher {
  /** A packet that comes in parts. */
  const parted = Buffer.allocUnsafeSlow(maxPacketBytes);
  let held = 0;
  const open = (packet: Buffer): number | false | undefined => {
    const tagAt = packet.length - tagBytes;
    const one = createDecipheriv(algorithm, key, iv);
    one.setAAD(packet.subarray(0, lengthBytes));
    one.setAuthTag(packet.subarray(tagAt));
    const plain = one.update(packet.subarray(lengthBytes, tagAt));
    one.final(); // is empty
    dropOutside();
    countUp(iv);
    decipher.inSeqno = (decipher.inSeqno + 1) >>> 0;
    taken.isCopied = false;
    const answer = decipher._onPayload(withoutPadding(plain));
    if (taken.isCopied) free(plain.buffer); // it was made for this packet alone
    return answer;
  };
  const decipher: PacketDecipher = {
    inSeqno,
    _onPayload: onPayload,
    decrypt(bytes, from, to) {
      for (let at = from; at < to;) {
        let packet = held === 0 ? wholeAt(bytes, at, to) : undefined;
        if (packet) at += packet.length;
        else {
          const goal = held < lengthBytes ? lengthBytes : sizeOf(parted);
          const end = Math.min(to, at + goal - held);
          held += bytes.copy(parted, held, at, end);
          at = end;
          if (held < lengthBytes || held < sizeOf(parted)) continue;
          packet = parted.subarray(0, held);
          held = 0;
        }
        const answer = open(packet);
        if (answer !== undefined) return answer === false ? at : answer;
      }
      return undefined;
    },
    free() {},
  };
  return decipher;
}

/** The packet that begins there, unless a part of it is still to come. */
function wholeAt(bytes: Buffer, at: number, to: number): Buffer | undefined {
  if (at + lengthBytes > to) return undefined;
  const end = at + sizeOf(bytes.subarray(at));
  return end <= to ? bytes.subarray(at, end) : undefined;
}

/** Of all of a packet, by its first bytes. */
function sizeOf(packet: Buffer): number {
  const length = packet.readUInt32BE();
  const size = lengthBytes + length + tagBytes;
  if (length < blockBytes || length % blockBytes !== 0 || size > maxPacketBytes) throw new Error('Bad packet length');
  return size;
}

function withoutPadding(plain: Buffer): Buffer {
  const end = plain.length - plain.readUInt8();
  if (end < 1) throw new Error('Bad padding length');
  return plain.subarray(1, end);
}

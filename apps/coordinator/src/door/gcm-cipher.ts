/**
 * Packets encrypted with AES-GCM as the library does it (RFC 4253, section 6; RFC 5647 with OpenSSH's names), without what it costs there
 * beside encrypting: memory for each packet twice, which the collector has to find, and a call of the system for the padding of each.
 */
import { createCipheriv, randomFillSync, type CipherGCMTypes } from 'node:crypto';
import { dropOutside, free } from '@croft/streams/release';

/** What the library asks of a cipher. */
export interface PacketCipher {
  /** Of the packet that comes next. The library reads it when keys change. */
  outSeqno: number;
  /** Room for a packet with its length and its padding set; the payload begins at 5. */
  allocPacket(payloadBytes: number): Buffer;
  encrypt(packet: Buffer): void;
  free(): void;
}

export interface GcmOptions {
  readonly algorithm: CipherGCMTypes;
  readonly key: Buffer;
  /** Goes on from here. */
  readonly iv: Buffer;
  readonly outSeqno: number;
  /** Whether a packet may have to wait before it is encrypted. */
  isWaiting(): boolean;
  /** @param done it may be changed */
  write(bytes: Buffer, done?: () => void): void;
}

const lengthBytes = 4;
const blockBytes = 16;
const leastPadding = 4;
/** A packet that is no longer is worth a copy, to go out at once. */
const keyBytes = 1024;
/** Of the number in an IV that counts packets; what is before it stays. */
const counterAt = 4;

/** A packet that does not wait is filled and encrypted at once, so there is never more than one. */
const onlyPacket = Buffer.allocUnsafeSlow(36 * 1024);
const chance = Buffer.allocUnsafeSlow(4 * 1024);
let chanceLeft = 0;

export function createGcmCipher({ algorithm, key, iv, outSeqno, isWaiting, write }: GcmOptions): PacketCipher {
  let isDead = false;
  const cipher: PacketCipher = {
    outSeqno,
    allocPacket(payloadBytes) {
      const unpadded = 1 + payloadBytes;
      let padding = blockBytes - (unpadded % blockBytes);
      if (padding < leastPadding) padding += blockBytes;
      const bytes = lengthBytes + unpadded + padding;
      const packet = isWaiting() || bytes > onlyPacket.length ? Buffer.allocUnsafe(bytes) : onlyPacket.subarray(0, bytes);
      packet.writeUInt32BE(bytes - lengthBytes);
      packet.writeUInt8(padding, lengthBytes);
      addChance(packet.subarray(bytes - padding));
      return packet;
    },
    encrypt(packet) {
      if (isDead) return;
      const one = createCipheriv(algorithm, key, iv);
      const length = Buffer.from(packet.subarray(0, lengthBytes));
      one.setAAD(length);
      const encrypted = one.update(packet.subarray(lengthBytes));
      one.final(); // is empty
      if (encrypted.length <= keyBytes) write(Buffer.concat([length, encrypted, one.getAuthTag()]));
      else {
        write(length);
        write(encrypted, () => free(encrypted.buffer)); // it was made for this packet alone, and the system has taken it
        write(one.getAuthTag());
      }
      dropOutside();
      countUp(iv);
      cipher.outSeqno = (cipher.outSeqno + 1) >>> 0;
    },
    free() {
      isDead = true;
    },
  };
  return cipher;
}

/** For the next packet. */
export function countUp(iv: Buffer): void {
  for (let at = iv.length - 1; at >= counterAt; at -= 1) {
    const next = ((iv[at] ?? 0) + 1) % 256;
    iv[at] = next;
    if (next !== 0) break;
  }
}

function addChance(padding: Buffer): void {
  if (chanceLeft < padding.length) {
    randomFillSync(chance);
    chanceLeft = chance.length;
  }
  chance.copy(padding, 0, chanceLeft - padding.length, chanceLeft);
  chanceLeft -= padding.length;
}

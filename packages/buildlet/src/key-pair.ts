/**
 * Key pairs: a buildlet's TLS identity, made by whoever starts the machine, and the password derived from it. Node makes no
 * certificates: the DER of the one that is needed is written here. @see RFC 5280
 */
import { createHash, generateKeyPair, sign } from 'node:crypto';
import { promisify } from 'node:util';
import { DAY, type Clock } from '@croft/runtime/clock';
import type { Random } from '@croft/runtime/random';

export interface KeyPair {
  /** PEM: `CERTIFICATE`. */
  readonly certificate: string;
  /** PEM: `RSA PRIVATE KEY`, PKCS#1. */
  readonly key: string;
}

const validMs = 5 * 365 * DAY;
const keyBits = 2048;

/** RSA, self-signed, for `localhost`: clients compare the key and look at nothing else. */
export async function createKeyPair({ clock, random }: { clock: Clock; random: Random }): Promise<KeyPair> {
  const pair = await promisify(generateKeyPair)('rsa', {
    modulusLength: keyBits,
    publicKeyEncoding: { type: 'spki', format: 'der' },
    privateKeyEncoding: { type: 'pkcs1', format: 'pem' },
  });
  const toBeSigned = certificateBody(pair.publicKey, { from: clock.now(), serial: Buffer.from(random.hex(16), 'hex') });
  const signature = sign('sha256', toBeSigned, pair.privateKey);
  const certificate = sequence(toBeSigned, sha256WithRsa, bitString(signature));
  return { certificate: pem('CERTIFICATE', certificate), key: pair.privateKey };
}

/** What the machine of this key asks of its clients; empty without a key, when nothing is asked. */
export function keyPairPassword({ key }: Pick<KeyPair, 'key'>): string {
  return key === '' ? '' : createHash('sha1').update(key).digest('hex');
}

function certificateBody(publicKey: Buffer, { from, serial }: { from: number; serial: Buffer }): Buffer {
  const name = sequence(der(0x31, sequence(oid('55040a'), der(0x0c, Buffer.from('Gopher Co')))));
  const validity = sequence(instant(from), instant(from + validMs));
  const version = der(0xa0, der(0x02, Buffer.from([2]))); // v3
  return sequence(version, unsigned(serial), sha256WithRsa, name, validity, name, publicKey, der(0xa3, extensions()));
}

function extensions(): Buffer {
  const critical = der(0x01, Buffer.from([0xff]));
  const keyUsage = Buffer.from([0x03, 0x02, 0x05, 0xa0]); // digitalSignature, keyEncipherment
  const serverAuth = sequence(oid('2b06010505070301'));
  const noAuthority = sequence();
  const localhost = sequence(der(0x82, Buffer.from('localhost')));
  return sequence(
    sequence(oid('551d0f'), critical, der(0x04, keyUsage)),
    sequence(oid('551d25'), der(0x04, serverAuth)),
    sequence(oid('551d13'), critical, der(0x04, noAuthority)),
    sequence(oid('551d11'), der(0x04, localhost)),
  );
}

function der(tag: number, content: Buffer): Buffer {
  return Buffer.concat([Buffer.from([tag]), lengthOf(content), content]);
}

function lengthOf({ length }: Buffer): Buffer {
  if (length < 0x80) return Buffer.from([length]);
  return length < 0x100 ? Buffer.from([0x81, length]) : Buffer.from([0x82, length >> 8, length & 0xff]);
}

function sequence(...parts: readonly Buffer[]): Buffer {
  return der(0x30, Buffer.concat(parts));
}

function oid(hex: string): Buffer {
  return der(0x06, Buffer.from(hex, 'hex'));
}

const sha256WithRsa = sequence(oid('2a864886f70d01010b'), Buffer.from([0x05, 0x00]));

function bitString(content: Buffer): Buffer {
  return der(0x03, Buffer.concat([Buffer.from([0]), content]));
}

/** A positive integer in as few bytes as it takes. */
function unsigned(bytes: Buffer): Buffer {
  const first = bytes.findIndex((byte) => byte !== 0);
  const least = first === -1 ? Buffer.from([1]) : bytes.subarray(first);
  return der(0x02, (least[0] ?? 0) > 0x7f ? Buffer.concat([Buffer.from([0]), least]) : least);
}

/** From 2050 on with all digits of the year. */
function instant(at: number): Buffer {
  const text = new Date(at).toISOString().replaceAll(/[-:T]|\.\d+/g, '');
  return text < '2050' ? der(0x17, Buffer.from(text.slice(2))) : der(0x18, Buffer.from(text));
}

function pem(label: string, content: Buffer): string {
  const lines = content.toString('base64').replaceAll(/.{64}(?=.)/g, '$&\n');
  return `-----BEGIN ${label}-----\n${lines}\n-----END ${label}-----\n`;
}

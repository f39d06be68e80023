/** Certificates of OpenSSH: a public key with what it may be used for, signed by an authority. gomote-ssh.md 8.3. */
import { createPrivateKey, createPublicKey, sign, type KeyObject } from 'node:crypto';
import { CroftError } from '@croft/runtime/errors';
import { isSignedBy, keyFromObject, parseKeyBlob, parseSignature, skipKeyFields, type PublicKey } from './public-key.ts';
import { readSsh, sshMpint, sshString, sshUint32, sshUint64 } from './ssh-bytes.ts';

export interface Certificate {
  readonly kind: 'user' | 'host';
  /** Whom it is for. */
  readonly subject: PublicKey;
  readonly serial: bigint;
  readonly keyId: string;
  readonly principals: readonly string[];
  /** Epoch seconds, the first and the first one that is too late. */
  readonly validAfter: bigint;
  readonly validBefore: bigint;
  readonly criticalOptions: ReadonlyMap<string, Buffer>;
  readonly extensions: ReadonlyMap<string, Buffer>;
  readonly authority: PublicKey;
}

export type CertificateWish = Omit<Certificate, 'criticalOptions' | 'extensions' | 'authority'> & {
  readonly criticalOptions?: readonly string[];
  readonly extensions: readonly string[];
};

const kinds = { user: 1, host: 2 } as const;
const suffix = '-cert-v01@openssh.com';
const maxBytes = 64 * 1024;
const maxPrincipals = 256;

/** `ssh-ed25519` is `ssh-ed25519-cert-v01@openssh.com`; `sk-ssh-ed25519@openssh.com` is `sk-ssh-ed25519-cert-v01@openssh.com`. */
function certificateType(keyType: string): string {
  return keyType.replace(/@openssh\.com$/, '') + suffix;
}

function keyTypeOf(type: string): string {
  const plain = type.slice(0, -suffix.length);
  return plain.startsWith('sk-') ? `${plain}@openssh.com` : plain;
}

export function isCertificateType(type: string): boolean {
  return type.endsWith(suffix);
}

/** @param authority an Ed25519 or ECDSA private key, PEM. @returns `TYPE BASE64` */
export function writeCertificate(wish: CertificateWish, { authority, nonce }: { authority: string; nonce: Buffer }): string {
  const key = createPrivateKey(authority);
  const { type, blob } = wish.subject;
  const fields = blob.subarray(4 + type.length);
  const options = (names: readonly string[]): Buffer =>
    Buffer.concat(names.toSorted().map((name) => Buffer.concat([sshString(name), sshString('')])));
  const body = Buffer.concat([
    sshString(certificateType(type)),
    sshString(nonce),
    fields,
    sshUint64(wish.serial),
    sshUint32(kinds[wish.kind]),
    sshString(wish.keyId),
    sshString(Buffer.concat(wish.principals.map(sshString))),
    sshUint64(wish.validAfter),
    sshUint64(wish.validBefore),
    sshString(options(wish.criticalOptions ?? [])),
    sshString(options(wish.extensions)),
    sshString(''),
    sshString(keyFromObject(createPublicKey(key)).blob),
  ]);
  return `${certificateType(type)} ${Buffer.concat([body, sshString(signatureOf(key, body))]).toString('base64')}`;
}

/** Reads it and checks that its authority has signed it; whether that authority counts is for the caller. @throws CroftError `invalid` */
export function readCertificate(blob: Buffer): Certificate {
  if (blob.length > maxBytes) throw new CroftError('invalid', 'a certificate is not that long');
  const reader = readSsh(blob);
  const type = reader.text();
  if (!isCertificateType(type)) throw new CroftError('invalid', 'this is no certificate');
  const keyType = keyTypeOf(type);
  reader.bytes(); // nonce
  const fieldsAt = reader.at;
  skipKeyFields(reader, keyType);
  const subject = parseKeyBlob(Buffer.concat([sshString(keyType), blob.subarray(fieldsAt, reader.at)]));
  const serial = reader.uint64();
  const kind = kindOf(reader.uint32());
  const keyId = reader.text();
  const principals = listOf(reader.bytes());
  const [validAfter, validBefore] = [reader.uint64(), reader.uint64()];
  const [criticalOptions, extensions] = [optionsOf(reader.bytes()), optionsOf(reader.bytes())];
  reader.bytes(); // reserved
  const authority = parseKeyBlob(reader.bytes());
  const signed = blob.subarray(0, reader.at);
  const signature = parseSignature(reader.bytes());
  if (!reader.isAtEnd) throw new CroftError('invalid', 'something follows the certificate');
  if (!isSignedBy(authority, signed, signature)) throw new CroftError('invalid', 'the certificate is not signed by its authority');
  return { kind, subject, serial, keyId, principals, validAfter, validBefore, criticalOptions, extensions, authority };
}

function kindOf(value: number): Certificate['kind'] {
  if (value === kinds.user) return 'user';
  if (value === kinds.host) return 'host';
  throw new CroftError('invalid', `certificates of the kind ${value} do not exist`);
}

function listOf(content: Buffer): string[] {
  const list: string[] = [];
  for (const reader = readSsh(content); !reader.isAtEnd; list.push(reader.text()))
    if (list.length >= maxPrincipals) throw new CroftError('invalid', 'the certificate has too many principals');
  return list;
}

/** In order of their names, each once, as OpenSSH demands. */
function optionsOf(content: Buffer): Map<string, Buffer> {
  const options = new Map<string, Buffer>();
  let last = '';
  for (const reader = readSsh(content); !reader.isAtEnd;) {
    const name = reader.text();
    if (options.size > 0 && name <= last) throw new CroftError('invalid', 'the options of the certificate are not in order');
    options.set(name, reader.bytes());
    last = name;
  }
  return options;
}

function signatureOf(key: KeyObject, body: Buffer): Buffer {
  const { type } = keyFromObject(createPublicKey(key));
  if (type === 'ssh-ed25519') return Buffer.concat([sshString(type), sshString(sign(null, body, key))]);
  const hash = type.endsWith('256') ? 'sha256' : type.endsWith('384') ? 'sha384' : 'sha512';
  const pair = sign(hash, body, { key, dsaEncoding: 'ieee-p1363' });
  const half = pair.length / 2;
  const numbers = Buffer.concat([sshMpint(pair.subarray(0, half)), sshMpint(pair.subarray(half))]);
  return Buffer.concat([sshString(type), sshString(numbers)]);
}

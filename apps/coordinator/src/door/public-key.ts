/** Public keys as OpenSSH writes them, and signatures made with their private halves: Ed25519, ECDSA, RSA with SHA-2, and security keys. */
import { createHash, createPublicKey, verify, type JsonWebKeyInput, type KeyObject } from 'node:crypto';
import { CroftError } from '@croft/runtime/errors';
import { magnitudeOf, readSsh, sshMpint, sshString, type SshReader } from './ssh-bytes.ts';

export interface PublicKey {
  /** `ssh-ed25519` */
  readonly type: string;
  readonly blob: Buffer;
  /** `SHA256:…` as `ssh-keygen -l` shows it. */
  readonly fingerprint: string;
  /** `TYPE BASE64`, without a comment. */
  readonly line: string;
}

export interface Signature {
  /** `rsa-sha2-512` */
  readonly algorithm: string;
  /** As SSH has it; ECDSA's two numbers each with its length in front, or as DER. */
  readonly bytes: Buffer;
  readonly isDer?: boolean;
}

const curves = {
  nistp256: { crv: 'P-256', hash: 'sha256', bytes: 32 },
  nistp384: { crv: 'P-384', hash: 'sha384', bytes: 48 },
  nistp521: { crv: 'P-521', hash: 'sha512', bytes: 66 },
} as const;
type CurveName = keyof typeof curves;

/** Algorithms a signature may have, by the key's type. SHA-1 is not among them. */
const algorithms: Readonly<Record<string, readonly string[]>> = {
  'ssh-ed25519': ['ssh-ed25519'],
  'ecdsa-sha2-nistp256': ['ecdsa-sha2-nistp256'],
  'ecdsa-sha2-nistp384': ['ecdsa-sha2-nistp384'],
  'ecdsa-sha2-nistp521': ['ecdsa-sha2-nistp521'],
  'ssh-rsa': ['rsa-sha2-512', 'rsa-sha2-256'],
  'sk-ssh-ed25519@openssh.com': ['sk-ssh-ed25519@openssh.com'],
  'sk-ecdsa-sha2-nistp256@openssh.com': ['sk-ecdsa-sha2-nistp256@openssh.com'],
};

const minRsaBits = 2_048;
/** More than any key has; RSA of 16,384 bits takes half of it. */
const maxBlobBytes = 8_192;
/** Of the flags of a security key: somebody touched it. */
const userPresent = 0x01;

/** @throws CroftError `invalid` for what is no key, of another type, or too weak */
export function parseKeyBlob(blob: Buffer): PublicKey {
  if (blob.length > maxBlobBytes) throw new CroftError('invalid', 'a public key is not that long');
  const reader = readSsh(blob);
  const type = reader.text();
  const key = { type, blob: Buffer.from(blob), fingerprint: fingerprintOf(blob), line: `${type} ${blob.toString('base64')}` };
  skipKeyFields(reader, type);
  if (!reader.isAtEnd) throw new CroftError('invalid', 'something follows the public key');
  keyObjectOf(key);
  return key;
}

/** A line of `authorized_keys` or of a `.pub` file, without options; its comment apart. @throws CroftError `invalid` */
export function parseKeyLine(line: string): { readonly key: PublicKey; readonly comment: string } {
  if (line.includes('PRIVATE KEY'))
    throw new CroftError('invalid', 'this is the private half of a key, which should never leave your machine', { hint: wholeLine });
  const match = /^([a-z0-9@.-]{1,100}) +([A-Za-z0-9+/]{4,12000}={0,2})(?: +(\P{Cc}{0,500}))?$/u.exec(line.trim());
  if (!match) throw new CroftError('invalid', 'this is not a public key of OpenSSH', { hint: wholeLine });
  const [, type, base64 = '', comment = ''] = match;
  const key = parseKeyBlob(Buffer.from(base64, 'base64'));
  if (key.type !== type) throw new CroftError('invalid', `the key says that it is ${key.type}, the line that it is ${type}`);
  return { key, comment: comment.trim() };
}

const newKey = 'ssh-keygen -t ed25519 makes one that is.';
const wholeLine = 'Paste the one line of a file that ends in .pub, such as ~/.ssh/id_ed25519.pub.';

/** Goes past what follows the type in a key of it. @throws CroftError `invalid` for an unknown type */
export function skipKeyFields(reader: SshReader, type: string): void {
  const count = fieldCounts[type];
  if (count === undefined)
    throw new CroftError('invalid', `keys of the type ${JSON.stringify(type.slice(0, 100))} are not taken`, { hint: newKey });
  for (let field = 0; field < count; field += 1) reader.bytes();
}

const fieldCounts: Readonly<Record<string, number>> = {
  'ssh-ed25519': 1,
  'ecdsa-sha2-nistp256': 2,
  'ecdsa-sha2-nistp384': 2,
  'ecdsa-sha2-nistp521': 2,
  'ssh-rsa': 2,
  'sk-ssh-ed25519@openssh.com': 2,
  'sk-ecdsa-sha2-nistp256@openssh.com': 3,
};

/** False also for a signature that cannot be read. */
export function isSignedBy(key: PublicKey, data: Buffer, signature: Signature): boolean {
  if (!algorithms[key.type]?.includes(signature.algorithm)) return false;
  try {
    return key.type.startsWith('sk-') ? isSignedBySecurityKey(key, data, signature.bytes) : verifyPlain(key, data, signature);
  } catch {
    return false; // hostile bytes: whatever is wrong with them, it is no signature
  }
}

/** `string algorithm, string signature`, and what a security key puts behind. @throws CroftError `invalid` */
export function parseSignature(blob: Buffer): Signature {
  const reader = readSsh(blob);
  const algorithm = reader.text();
  const bytes = reader.bytes();
  if (!algorithm.startsWith('sk-') && !reader.isAtEnd) throw new CroftError('invalid', 'something follows the signature');
  return { algorithm, bytes: algorithm.startsWith('sk-') ? Buffer.concat([bytes, blob.subarray(reader.at)]) : bytes };
}

function fingerprintOf(blob: Buffer): string {
  return `SHA256:${createHash('sha256').update(blob).digest('base64').replace(/=+$/, '')}`;
}

/** A public key of Node's as OpenSSH writes it. */
export function keyFromObject(key: KeyObject): PublicKey {
  const { kty, crv, x = '', y = '', n = '', e = '' } = key.export({ format: 'jwk' });
  const raw = (text: string): Buffer => Buffer.from(text, 'base64url');
  if (kty === 'OKP' && crv === 'Ed25519') return parseKeyBlob(Buffer.concat([sshString('ssh-ed25519'), sshString(raw(x))]));
  if (kty === 'RSA') return parseKeyBlob(Buffer.concat([sshString('ssh-rsa'), sshMpint(raw(e)), sshMpint(raw(n))]));
  const [name] = Object.entries(curves).find(([, curve]) => curve.crv === crv) ?? [];
  if (kty !== 'EC' || name === undefined) throw new CroftError('invalid', `keys of the kind ${kty} ${crv} are not for SSH`);
  const point = Buffer.concat([Buffer.from([4]), raw(x), raw(y)]);
  return parseKeyBlob(Buffer.concat([sshString(`ecdsa-sha2-${name}`), sshString(name), sshString(point)]));
}

function verifyPlain(key: PublicKey, data: Buffer, { algorithm, bytes, isDer }: Signature): boolean {
  const object = keyObjectOf(key);
  if (algorithm === 'ssh-ed25519') return verify(null, data, object, bytes);
  if (algorithm.startsWith('rsa-')) return verify(algorithm === 'rsa-sha2-512' ? 'sha512' : 'sha256', data, object, bytes);
  const curve = curves[algorithm.slice('ecdsa-sha2-'.length) as CurveName];
  if (isDer) return verify(curve.hash, data, object, bytes);
  return verify(curve.hash, data, { key: object, dsaEncoding: 'ieee-p1363' }, ecdsaPair(bytes, curve.bytes));
}

/** What it signs: the digests of its application and of the data, what it saw, and how often it has signed. */
function isSignedBySecurityKey(key: PublicKey, data: Buffer, bytes: Buffer): boolean {
  const body = bytes.subarray(0, -5);
  const state = bytes.subarray(-5);
  if (((state[0] ?? 0) & userPresent) === 0) return false;
  const digest = (content: Buffer): Buffer => createHash('sha256').update(content).digest();
  const signed = Buffer.concat([digest(applicationOf(key)), state, digest(data)]);
  const object = keyObjectOf(key);
  if (key.type === 'sk-ssh-ed25519@openssh.com') return verify(null, signed, object, body);
  return verify('sha256', signed, { key: object, dsaEncoding: 'ieee-p1363' }, ecdsaPair(body, curves.nistp256.bytes));
}

function applicationOf({ type, blob }: PublicKey): Buffer {
  const reader = readSsh(blob);
  for (let field = 0; field < (fieldCounts[type] ?? 0); field += 1) reader.bytes(); // the type, and all but the last
  return reader.bytes();
}

function ecdsaPair(bytes: Buffer, length: number): Buffer {
  const reader = readSsh(bytes);
  return Buffer.concat([magnitudeOf(reader.bytes(), length), magnitudeOf(reader.bytes(), length)]);
}

function keyObjectOf({ type, blob }: PublicKey): KeyObject {
  const reader = readSsh(blob);
  reader.bytes();
  if (type.includes('ssh-ed25519')) {
    const x = reader.bytes();
    if (x.length !== 32) throw new CroftError('invalid', 'an Ed25519 key has 32 bytes');
    return importKey({ kty: 'OKP', crv: 'Ed25519', x: x.toString('base64url') });
  }
  if (type === 'ssh-rsa') {
    const [e, n] = [magnitudeOf(reader.bytes()), magnitudeOf(reader.bytes())];
    if (n.length * 8 < minRsaBits) throw new CroftError('invalid', `an RSA key needs at least ${minRsaBits} bits`);
    return importKey({ kty: 'RSA', e: e.toString('base64url'), n: n.toString('base64url') });
  }
  return curveKey(type, reader);
}

function curveKey(type: string, reader: SshReader): KeyObject {
  const name = /nistp\d+/.exec(type)?.[0] ?? '';
  const curve = curves[name as CurveName];
  if (reader.text() !== name) throw new CroftError('invalid', 'the key is on another curve than its type says');
  const point = reader.bytes();
  if (point.length !== 1 + 2 * curve.bytes || point[0] !== 4) throw new CroftError('invalid', 'the key is no point of its curve');
  const [x, y] = [point.subarray(1, 1 + curve.bytes), point.subarray(1 + curve.bytes)];
  return importKey({ kty: 'EC', crv: curve.crv, x: x.toString('base64url'), y: y.toString('base64url') });
}

function importKey(key: JsonWebKeyInput['key']): KeyObject {
  try {
    return createPublicKey({ key, format: 'jwk' });
  } catch (error) {
    throw new CroftError('invalid', 'the numbers of the key make none', { cause: error });
  }
}

/** Keys of ed25519 in the form in which OpenSSH keeps them without a passphrase. The library makes such keys, too, but cuts off what zeros their public half begins with. */
import { createPrivateKey, createPublicKey, generateKeyPairSync } from 'node:crypto';
import { CroftError } from '@croft/runtime/errors';
import { keyFromObject } from './public-key.ts';
import { readSsh, sshString, sshUint32 } from './ssh-bytes.ts';

export interface NewKey {
  /** `TYPE BASE64 COMMENT` */
  readonly public: string;
  readonly private: string;
}

const magic = Buffer.from('openssh-key-v1\0');
const halfBytes = 32;
/** What stands before the private half in PKCS #8 (RFC 8410, section 7). */
const pkcs8 = Buffer.from('302e020100300506032b657004220420', 'hex');
const padding = Buffer.of(1, 2, 3, 4, 5, 6, 7);

export function newKey(comment = ''): NewKey {
  return keyOf(generateKeyPairSync('ed25519').privateKey.export({ format: 'der', type: 'pkcs8' }).subarray(-halfBytes), comment);
}

/** The key that was written without the zeros its public half begins with. @throws CroftError `invalid` for what lacks anything else */
export function withZeros(broken: string): NewKey {
  const outer = readSsh(Buffer.from(broken.replaceAll(/-----[^-]*-----/g, ''), 'base64').subarray(magic.length));
  for (let count = 0; count < 3; count += 1) outer.bytes(); // cipher, way from the passphrase to its key, and what that needs
  outer.uint32();
  outer.bytes();
  const inner = readSsh(outer.bytes());
  inner.uint64();
  const [type, cut, halves] = [inner.text(), inner.bytes(), inner.bytes()];
  const key = keyOf(halves.subarray(0, halfBytes));
  const whole = Buffer.concat([Buffer.alloc(Math.max(0, halfBytes - cut.length)), cut]);
  if (type !== 'ssh-ed25519' || !publicHalf(key).equals(whole))
    throw new CroftError('invalid', 'the halves of the key do not belong together');
  return key;
}

function publicHalf(key: NewKey): Buffer {
  return Buffer.from(key.public.split(' ')[1] ?? '', 'base64').subarray(-halfBytes);
}

function keyOf(half: Buffer, comment = ''): NewKey {
  const secret = createPrivateKey({ key: Buffer.concat([pkcs8, half]), format: 'der', type: 'pkcs8' });
  const { blob, line } = keyFromObject(createPublicKey(secret));
  const halves = sshString(Buffer.concat([half, blob.subarray(-halfBytes)]));
  const checks = Buffer.alloc(8); // two equal numbers, by which a wrong passphrase is told
  const inner = Buffer.concat([checks, blob, halves, sshString(comment)]);
  const none = [sshString('none'), sshString('none'), sshString('')];
  const padded = Buffer.concat([inner, padding.subarray(0, -inner.length & 7)]);
  const lines = Buffer.concat([magic, ...none, sshUint32(1), sshString(blob), sshString(padded)])
    .toString('base64')
    .replaceAll(/.{70}/g, '$&\n');
  return {
    public: `${line} ${comment}`.trimEnd(),
    private: `-----BEGIN OPENSSH PRIVATE KEY-----\n${lines}\n-----END OPENSSH PRIVATE KEY-----\n`,
  };
}

/** Keys that ssh-keygen made, signatures of Node's, and bytes that are neither. */
import assert from 'node:assert/strict';
import { createHash, generateKeyPairSync, sign, type KeyObject } from 'node:crypto';
import { execFileSync } from 'node:child_process';
import { mkdtempDisposableSync, readFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import fc from 'fast-check';
import { isCode } from '@croft/runtime/errors';
import { isSignedBy, keyFromObject, parseKeyBlob, parseKeyLine, parseSignature, type PublicKey } from './public-key.ts';
import { magnitudeOf, readSsh, sshMpint, sshString } from './ssh-bytes.ts';

const kinds = [
  ['ed25519', '256'],
  ['ecdsa', '256'],
  ['ecdsa', '384'],
  ['ecdsa', '521'],
  ['rsa', '2048'],
] as const;

test('keys of ssh-keygen have its fingerprints, with or without a comment', () => {
  using dir = mkdtempDisposableSync(join(tmpdir(), 'croft-keys-'));
  for (const [type, bits] of kinds) {
    const file = join(dir.path, `${type}-${bits}`);
    execFileSync('ssh-keygen', ['-q', '-t', type, '-b', bits, '-N', '', '-C', 'ann at home', '-f', file]);
    const line = readFileSync(`${file}.pub`, 'utf8');
    const { key, comment } = parseKeyLine(line);
    const told = execFileSync('ssh-keygen', ['-l', '-f', `${file}.pub`], { encoding: 'utf8' });
    assert.equal(key.fingerprint, told.split(' ')[1]);
    assert.equal(comment, 'ann at home');
    assert.ok(line.startsWith(key.line));
    assert.deepEqual(parseKeyLine(key.line), { key, comment: '' });
  }
});

test('lines that are no key, have options, lie about their type or are too weak are refused', () => {
  const { line, blob } = keyFromObject(generateKeyPairSync('ed25519').publicKey);
  const weak = generateKeyPairSync('rsa', { modulusLength: 1_024 }).publicKey;
  for (const text of [
    '',
    'ssh-ed25519',
    'ssh-ed25519 AAAA',
    `command="sh" ${line}`,
    `${line}\n${line}`,
    line.replace('ssh-ed25519', 'ssh-rsa'),
    `ssh-ed25519 ${Buffer.concat([blob, Buffer.alloc(1)]).toString('base64')}`,
    `${line} com\u0007ment`,
    `ssh-dss ${Buffer.concat([sshString('ssh-dss'), sshString('a')]).toString('base64')}`,
  ])
    assert.throws(
      () => parseKeyLine(text),
      (error) => isCode(error, 'invalid'),
      text,
    );
  assert.throws(() => keyFromObject(weak), /at least 2048 bits/);
});

interface Signer {
  readonly key: PublicKey;
  sign(data: Buffer): { algorithm: string; bytes: Buffer };
}

function signers(): Signer[] {
  const ed = generateKeyPairSync('ed25519');
  const ec = generateKeyPairSync('ec', { namedCurve: 'P-384' });
  const rsa = generateKeyPairSync('rsa', { modulusLength: 2_048 });
  return [
    { key: keyFromObject(ed.publicKey), sign: (data) => ({ algorithm: 'ssh-ed25519', bytes: sign(null, data, ed.privateKey) }) },
    {
      key: keyFromObject(ec.publicKey),
      sign: (data) => ({ algorithm: 'ecdsa-sha2-nistp384', bytes: pairOf('sha384', data, ec.privateKey) }),
    },
    { key: keyFromObject(rsa.publicKey), sign: (data) => ({ algorithm: 'rsa-sha2-512', bytes: sign('sha512', data, rsa.privateKey) }) },
    securityKey(),
  ];
}

function pairOf(hash: string, data: Buffer, key: KeyObject): Buffer {
  const pair = sign(hash, data, { key, dsaEncoding: 'ieee-p1363' });
  return Buffer.concat([sshMpint(pair.subarray(0, pair.length / 2)), sshMpint(pair.subarray(pair.length / 2))]);
}

/** As a FIDO key signs, which somebody touched. */
function securityKey(flags = 1): Signer {
  const { publicKey, privateKey } = generateKeyPairSync('ed25519');
  const type = 'sk-ssh-ed25519@openssh.com';
  const raw = Buffer.from(publicKey.export({ format: 'jwk' }).x ?? '', 'base64url');
  const digest = (content: string | Buffer): Buffer => createHash('sha256').update(content).digest();
  const state = Buffer.from([flags, 0, 0, 0, 7]);
  return {
    key: parseKeyBlob(Buffer.concat([sshString(type), sshString(raw), sshString('ssh:')])),
    sign: (data) => ({
      algorithm: type,
      bytes: Buffer.concat([sign(null, Buffer.concat([digest('ssh:'), state, digest(data)]), privateKey), state]),
    }),
  };
}

test('a signature counts for its own key and data, under its own algorithm, and no other', () => {
  const all = signers();
  const data = Buffer.from('what was said');
  for (const [at, signer] of all.entries()) {
    const signature = signer.sign(data);
    assert.ok(isSignedBy(signer.key, data, signature), signer.key.type);
    assert.equal(isSignedBy(signer.key, Buffer.from('what was not said'), signature), false);
    const { key: other } = all[(at + 1) % all.length] as Signer;
    assert.equal(isSignedBy(other, data, signature), false);
    for (const algorithm of ['ssh-rsa', 'none', '', 'rsa-sha2-256'])
      assert.equal(isSignedBy(signer.key, data, { ...signature, algorithm }), false, algorithm);
  }
});

test('a security key that nobody touched does not count', () => {
  const untouched = securityKey(0);
  const data = Buffer.from('data');
  assert.equal(isSignedBy(untouched.key, data, untouched.sign(data)), false);
});

test('hostile signatures are false and never a failure', () => {
  const [ed, ec, rsa, sk] = signers() as [Signer, Signer, Signer, Signer];
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 300 }), (content) => {
      const bytes = Buffer.from(content);
      for (const { key, sign: make } of [ed, ec, rsa, sk])
        assert.equal(isSignedBy(key, bytes, { algorithm: make(Buffer.from('x')).algorithm, bytes }), false);
    }),
    { numRuns: 60 },
  );
});

test('hostile blobs are refused and nothing else happens', () => {
  const known = signers().map(({ key }) => key.blob);
  fc.assert(
    fc.property(fc.constantFrom(...known), fc.nat(), fc.integer({ min: 1, max: 255 }), fc.boolean(), (blob, at, flip, cut) => {
      const place = at % blob.length;
      const changed = Buffer.from(cut ? blob.subarray(0, place) : blob);
      if (!cut) changed[place] = (changed[place] ?? 0) ^ flip;
      for (const parse of [parseKeyBlob, parseSignature]) {
        try {
          parse(changed);
        } catch (error) {
          assert.ok(isCode(error, 'invalid'), String(error));
        }
      }
    }),
  );
});

test('numbers come back as they were written', () => {
  fc.assert(
    fc.property(fc.uint8Array({ minLength: 1, maxLength: 80 }), (content) => {
      const magnitude = Buffer.from(content);
      const mpint = readSsh(sshMpint(magnitude)).bytes();
      assert.ok((mpint[0] ?? 0) < 0x80, 'not negative');
      assert.deepEqual(magnitudeOf(mpint, magnitude.length), magnitude);
    }),
  );
});

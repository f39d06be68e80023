/** Certificates against OpenSSH's own tool, and forged ones. gomote-ssh.md CERT-2, CERT-3, acceptance 9. */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { generateKeyPairSync } from 'node:crypto';
import { mkdtempDisposableSync, readFileSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import fc from 'fast-check';
import { MINUTE, SECOND, systemClock } from '@croft/runtime/clock';
import { isCode } from '@croft/runtime/errors';
import { systemRandom } from '@croft/runtime/random';
import { FakeClock } from '@croft/runtime/testing';
import { readCertificate, writeCertificate, type CertificateWish } from './certificate.ts';
import { checkCertificate, extensions, signSshKey } from './certificates.ts';
import { keyFromObject, type PublicKey } from './public-key.ts';
import { sshString } from './ssh-bytes.ts';

const pair = (type: 'ed25519' | 'rsa' | 'ec' = 'ed25519'): { key: PublicKey; pem: string } => {
  const made =
    type === 'ed25519'
      ? generateKeyPairSync('ed25519')
      : type === 'rsa'
        ? generateKeyPairSync('rsa', { modulusLength: 2_048 })
        : generateKeyPairSync('ec', { namedCurve: 'P-256' });
  return { key: keyFromObject(made.publicKey), pem: made.privateKey.export({ format: 'pem', type: 'pkcs8' }).toString() };
};

const authority = pair();
const ann = pair();
const place = { session: { id: 'S0123456789abcdef', alias: 'ann-linux-0' }, host: 'farm.example' };
const clock = new FakeClock();
const seconds = (ms: number): bigint => BigInt(Math.floor(ms / SECOND));
const wish: CertificateWish = {
  kind: 'user',
  subject: ann.key,
  serial: 1n,
  keyId: 'croft',
  principals: ['S0123456789abcdef@farm.example', 'ann'],
  validAfter: seconds(clock.now()),
  validBefore: seconds(clock.now() + 5 * MINUTE),
  extensions,
};
const blobOf = (line: string): Buffer => Buffer.from(line.split(' ')[1] ?? '', 'base64');
const made = (changes: Partial<CertificateWish>, by = authority.pem): Buffer =>
  blobOf(writeCertificate({ ...wish, ...changes }, { authority: by, nonce: Buffer.alloc(32, 7) }));
const check = (blob: Buffer): string => checkCertificate(readCertificate(blob), place, { authority: authority.key, clock });

test('OpenSSH reads what is signed, for each kind of key and of authority', () => {
  using dir = mkdtempDisposableSync(join(tmpdir(), 'croft-cert-'));
  for (const by of [pair(), pair('ec')])
    for (const subject of [pair(), pair('rsa'), pair('ec')]) {
      const file = join(dir.path, 'id-cert.pub');
      const line = signSshKey(
        `${subject.key.line} ann@home`,
        { person: 'ann', place },
        { authority: by.pem, clock: systemClock, random: systemRandom },
      );
      writeFileSync(file, `${line}\n`);
      const told = execFileSync('ssh-keygen', ['-L', '-f', file], { encoding: 'utf8' });
      assert.match(told, new RegExp(`Type: ${subject.key.type}-cert-v01@openssh.com user certificate`));
      assert.ok(told.includes(`Signing CA: ${by.key.type === 'ssh-ed25519' ? 'ED25519' : 'ECDSA'} ${by.key.fingerprint}`), told);
      assert.match(told, /Principals: \n +S0123456789abcdef@farm\.example\n +ann-linux-0@farm\.example\n +ann\n/);
      assert.match(told, /Critical Options: \(none\)/);
      for (const extension of extensions) assert.ok(told.includes(extension));
    }
});

test('what OpenSSH signs is read, and a certificate says what was signed', () => {
  using dir = mkdtempDisposableSync(join(tmpdir(), 'croft-cert-'));
  const file = (name: string): string => join(dir.path, name);
  for (const type of ['ed25519', 'ecdsa', 'rsa']) {
    for (const name of ['ca', 'id']) execFileSync('ssh-keygen', ['-q', '-t', type, '-N', '', '-f', file(`${name}-${type}`)]);
    const options = ['-s', file(`ca-${type}`), '-I', 'me', '-n', 'one,two', '-V', '+5m', '-z', '7', '-O', 'clear', '-O', 'permit-pty'];
    execFileSync('ssh-keygen', ['-q', ...options, '-O', 'force-command=true', file(`id-${type}.pub`)]);
    const read = readCertificate(blobOf(readFileSync(file(`id-${type}-cert.pub`), 'utf8')));
    assert.equal(
      read.subject.line,
      readFileSync(file(`id-${type}.pub`), 'utf8')
        .split(' ')
        .slice(0, 2)
        .join(' '),
    );
    assert.deepEqual([read.kind, read.serial, read.keyId, read.principals], ['user', 7n, 'me', ['one', 'two']]);
    assert.deepEqual([[...read.criticalOptions.keys()], [...read.extensions.keys()]], [['force-command'], ['permit-pty']]);
  }
});

test('CERT-3: a certificate names its person, from a minute before it was made and for five', async () => {
  const now = new FakeClock();
  const line = signSshKey(ann.key.line, { person: 'ann', place }, { authority: authority.pem, clock: now, random: systemRandom });
  const person = (at: FakeClock): string => checkCertificate(readCertificate(blobOf(line)), place, { authority: authority.key, clock: at });
  assert.equal(person(now), 'ann');
  assert.equal(person(new FakeClock(now.now() - MINUTE)), 'ann');
  assert.throws(() => person(new FakeClock(now.now() - MINUTE - SECOND)), /not valid yet/);
  assert.equal(person(new FakeClock(now.now() + 5 * MINUTE - 1)), 'ann');
  assert.throws(() => person(new FakeClock(now.now() + 5 * MINUTE)), /expired/);
});

const other = pair();
const refused: readonly (readonly [string, Buffer, RegExp])[] = [
  ['expired', made({ validBefore: wish.validAfter }), /expired/],
  ['not yet valid', made({ validAfter: wish.validBefore }), /not valid yet/],
  ['of another authority', made({}, other.pem), /not signed by this farm/],
  ['for a host', made({ kind: 'host' }), /for a host/],
  ['for another session', made({ principals: ['S0123456789abcdee@farm.example', 'ann'] }), /another session/],
  ['for another farm', made({ principals: ['S0123456789abcdef@other.example', 'ann'] }), /another session/],
  ['without principals', made({ principals: [] }), /another session/],
  ['without a person', made({ principals: ['S0123456789abcdef@farm.example'] }), /names no person/],
  ['with an unknown critical option', made({ criticalOptions: ['no-such-option'] }), /critical option/],
  ['that binds its holder to a command', made({ criticalOptions: ['force-command'] }), /critical option/],
];
for (const [name, blob, why] of refused)
  test(`CERT-3: a certificate ${name} is refused`, () => {
    assert.throws(
      () => check(blob),
      (error) => isCode(error, 'forbidden') && why.test(error.message),
    );
  });

test('a certificate whose signature was made for another one is refused', () => {
  const [one, two] = [made({}), made({ principals: ['S0123456789abcdef@farm.example', 'bob'] })];
  const signatureBytes = 4 + sshString('ssh-ed25519').length + sshString(Buffer.alloc(64)).length;
  const forged = Buffer.concat([two.subarray(0, -signatureBytes), one.subarray(-signatureBytes)]);
  assert.throws(() => readCertificate(forged), /not signed by its authority/);
});

test('no byte of a certificate can be changed, left out or added', () => {
  const good = made({});
  fc.assert(
    fc.property(fc.nat(good.length - 1), fc.integer({ min: 1, max: 255 }), fc.constantFrom('flip', 'cut', 'add'), (at, flip, how) => {
      const changed = Buffer.from(good);
      changed[at] = (changed[at] ?? 0) ^ flip;
      const blob = how === 'flip' ? changed : how === 'cut' ? good.subarray(0, at) : Buffer.concat([good, good.subarray(0, at + 1)]);
      assert.throws(
        () => readCertificate(blob),
        (error) => isCode(error, 'invalid'),
      );
    }),
    { numRuns: 400 },
  );
});

test('hostile bytes are no certificate', () => {
  const types = ['ssh-ed25519-cert-v01@openssh.com', 'ssh-rsa-cert-v01@openssh.com', 'ecdsa-sha2-nistp256-cert-v01@openssh.com', 'x'];
  fc.assert(
    fc.property(fc.constantFrom(...types), fc.uint8Array({ maxLength: 400 }), (type, rest) => {
      assert.throws(
        () => readCertificate(Buffer.concat([sshString(type), Buffer.from(rest)])),
        (error) => isCode(error, 'invalid'),
      );
    }),
  );
});

import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { X509Certificate, createPrivateKey } from 'node:crypto';
import { once } from 'node:events';
import { createServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import { test } from 'node:test';
import { promisify } from 'node:util';
import * as fc from 'fast-check';
import { DAY, systemClock, type Clock } from '@croft/runtime/clock';
import { errorText, isCode } from '@croft/runtime/errors';
import { systemRandom, type Random } from '@croft/runtime/random';
import { FakeClock } from '@croft/runtime/testing';
import type { BuildletTls } from './address.ts';
import { createBuildlet } from './client.ts';
import { createKeyPair, keyPairPassword, type KeyPair } from './key-pair.ts';

const made = await createKeyPair({ clock: systemClock, random: systemRandom });

test('a certificate says what Go’s say (buildlet.md 3.7)', () => {
  const certificate = new X509Certificate(made.certificate);
  assert.equal(certificate.subject, 'O=Gopher Co');
  assert.equal(certificate.issuer, certificate.subject);
  assert.equal(certificate.subjectAltName, 'DNS:localhost');
  assert.deepEqual(certificate.keyUsage, ['1.3.6.1.5.5.7.3.1']);
  assert.equal(certificate.ca, false);
  assert.ok(certificate.verify(certificate.publicKey) && certificate.checkPrivateKey(createPrivateKey(made.key)));
  assert.equal(certificate.publicKey.asymmetricKeyDetails?.modulusLength, 2048);
  assert.equal(certificate.validToDate.getTime() - certificate.validFromDate.getTime(), 5 * 365 * DAY);
  assert.ok(certificate.serialNumber.length > 24);
  assert.match(made.certificate, /^-----BEGIN CERTIFICATE-----\n([\w+/=]{1,64}\n)+-----END CERTIFICATE-----\n$/);
  assert.match(made.key, /^-----BEGIN RSA PRIVATE KEY-----\n/);
});

test('OpenSSL reads every field of a certificate', async () => {
  const asked = promisify(execFile)('openssl', ['x509', '-noout', '-text']);
  asked.child.stdin?.end(made.certificate);
  const { stdout } = await asked;
  assert.match(stdout, /Key Usage: critical\s+Digital Signature, Key Encipherment/);
  assert.match(stdout, /Basic Constraints: critical\s+CA:FALSE/);
  assert.match(stdout, /sha256WithRSAEncryption/);
});

test('serial numbers and dates are valid whatever chance and the clock say', async () => {
  const chances = ['00'.repeat(16), `00${'ff'.repeat(15)}`, 'ff'.repeat(16), `7f${'00'.repeat(15)}`];
  for (const hex of chances) {
    const random: Random = { ...systemRandom, hex: () => hex };
    for (const clock of [new FakeClock(Date.UTC(2049, 11, 31, 23, 59, 59)), new FakeClock(Date.UTC(2026, 1, 3))] satisfies Clock[]) {
      const { validFromDate, serialNumber } = new X509Certificate((await createKeyPair({ clock, random })).certificate);
      assert.equal(validFromDate.getTime(), clock.now());
      assert.equal(BigInt(`0x${serialNumber}`), BigInt(`0x${hex}`) || 1n);
    }
  }
});

test('the password is the hash of the whole text of the key', () => {
  assert.equal(keyPairPassword({ key: 'abc' }), 'a9993e364706816aba3e25717850c26c9cd0d89d');
  assert.equal(keyPairPassword({ key: '' }), '');
  fc.assert(fc.property(fc.string({ minLength: 1 }), (key) => /^[0-9a-f]{40}$/.test(keyPairPassword({ key }))));
});

/** A machine with this key pair; what reached it of requests. */
async function machine({ certificate, key }: Pick<KeyPair, 'certificate' | 'key'>) {
  const asked: (string | undefined)[] = [];
  const server = createServer({ cert: certificate, key }, (request, response) => {
    asked.push(request.headers.authorization);
    if (request.url === '/workdir') response.end('/work');
    else response.write('output', () => response.end());
  }).listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  return {
    asked,
    client: (tls: BuildletTls, host = '127.0.0.1') => createBuildlet({ host, port, tls, password: 'sesame' }, { clock: systemClock }),
    async [Symbol.asyncDispose]() {
      server.closeAllConnections();
      server.close();
    },
  };
}

test('a machine that shows the pinned key is spoken to, over both transports and kept connections', async () => {
  await using server = await machine(made);
  await using client = server.client({ pinned: made.certificate });
  assert.equal(await client.workDir({}), '/work');
  assert.equal(await client.workDir({}), '/work');
  assert.equal(String(await Array.fromAsync(client.output('a.1.x' as never, 0, {}), String)), 'output');
  assert.ok(server.asked.every((header) => header === `Basic ${Buffer.from(':sesame').toString('base64')}`));
});

test('a machine that shows another key never hears the password', async () => {
  await using server = await machine(made);
  const other = await createKeyPair({ clock: systemClock, random: systemRandom });
  await using client = server.client({ pinned: other.certificate });
  await assert.rejects(client.workDir({}), (error) => isCode(error, 'unavailable') && /unexpected TLS certificate/.test(errorText(error)));
  await assert.rejects(Array.fromAsync(client.output('a.1.x' as never, 0, {})), /unexpected TLS certificate/);
  assert.deepEqual(server.asked, []);
});

test('a machine that shows a key of another kind is told as Go tells it', async () => {
  const how = [
    'req',
    '-x509',
    '-newkey',
    'ec',
    '-pkeyopt',
    'ec_paramgen_curve:P-256',
    '-nodes',
    '-subj',
    '/CN=x',
    '-keyout',
    '-',
    '-out',
    '-',
  ];
  const { stdout } = await promisify(execFile)('openssl', how);
  await using server = await machine({ certificate: stdout, key: stdout });
  await using client = server.client({ pinned: made.certificate });
  await assert.rejects(client.workDir({}), (error) => /peer cert was a ec; expected RSA/.test(errorText(error)));
  assert.deepEqual(server.asked, []);
});

test('a certificate of an authority is taken for the right name alone', async () => {
  await using server = await machine(made);
  await using right = server.client({ ca: made.certificate, serverName: 'localhost' });
  assert.equal(await right.workDir({}), '/work');
  await using wrong = server.client({ ca: made.certificate, serverName: 'elsewhere.example' });
  await assert.rejects(wrong.workDir({}), /altnames|certificate/i);
  const stranger = await createKeyPair({ clock: systemClock, random: systemRandom });
  await using unknown = server.client({ ca: stranger.certificate, serverName: 'localhost' });
  await assert.rejects(unknown.workDir({}), (error) => isCode(error, 'unavailable'));
  assert.equal(server.asked.length, 1);
});

test('a machine without TLS is not taken for one with it', async () => {
  const plain = (await import('node:http')).createServer((_, response) => response.end('/work')).listen(0, '127.0.0.1');
  await once(plain, 'listening');
  const { port } = plain.address() as AddressInfo;
  const tls = { pinned: made.certificate };
  await using client = createBuildlet({ host: '127.0.0.1', port, tls, password: 'sesame' }, { clock: systemClock });
  await assert.rejects(client.workDir({}), (error) => isCode(error, 'unavailable') && !errorText(error).includes('sesame'));
  plain.closeAllConnections();
  plain.close();
});

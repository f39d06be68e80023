/** The door's operations over HTTP: own keys, certificates, and a farm without a door. */
import assert from 'node:assert/strict';
import { generateKeyPairSync } from 'node:crypto';
import { test } from 'node:test';
import { systemClock } from '@croft/runtime/clock';
import { systemRandom } from '@croft/runtime/random';
import { createSshAccess } from '../door/access.ts';
import { readCertificate } from '../door/certificate.ts';
import { openFarmKeys } from '../door/farm-keys.ts';
import { keyFromObject } from '../door/public-key.ts';
import { openTestStore } from '../door/testing.ts';
import { fakeSession } from '../sessions/testing.ts';
import { openTestApp } from './testing.ts';

const { line } = keyFromObject(generateKeyPairSync('ed25519').publicKey);
const post = (body: unknown, headers = {}): RequestInit => ({
  method: 'POST',
  headers: { 'content-type': 'application/json', ...headers },
  body: JSON.stringify(body),
});

test('somebody adds a key, sees it and removes it; others see nothing of it', async () => {
  await using app = await openTestApp();
  const developer = await app.as('developer');
  const added = await app.ask('/api/v1/me/ssh-keys', post({ key: `${line} laptop` }, developer));
  assert.equal(added.status, 201);
  const { id, name } = (await added.json()) as { id: string; name: string };
  assert.equal(name, 'laptop');
  const count = async (headers: object): Promise<number> => {
    const response = await app.ask('/api/v1/me/ssh-keys', { headers: { ...headers } });
    return ((await response.json()) as { keys: unknown[] }).keys.length;
  };
  assert.deepEqual([await count(developer), await count({})], [1, 0]);
  assert.equal((await app.ask(`/api/v1/me/ssh-keys/${id}`, { method: 'DELETE' })).status, 404, 'not the local user’s');
  assert.equal((await app.ask(`/api/v1/me/ssh-keys/${id}`, { method: 'DELETE', headers: developer })).status, 200);
  assert.equal(await count(developer), 0);
  assert.ok((await app.audited()).some((entry) => entry.startsWith('developer: ssh-key.add')));
});

test('what is no key is refused, and so is a viewer', async () => {
  await using app = await openTestApp();
  assert.equal((await app.ask('/api/v1/me/ssh-keys', post({ key: 'ssh-ed25519 nonsense' }))).status, 400);
  assert.equal((await app.ask('/api/v1/me/ssh-keys', post({ key: line }, await app.as('viewer')))).status, 403);
});

test('a farm without a door says so', async () => {
  await using app = await openTestApp();
  assert.equal((await app.ask('/api/v1/ssh')).status, 404);
});

test('who may use a session gets a certificate for it, and nobody else', async () => {
  await using database = await openTestStore();
  const keys = await openFarmKeys(database);
  const ssh = createSshAccess(keys, { host: 'farm.example', port: 2222 }, { clock: systemClock, random: systemRandom });
  await using app = await openTestApp({ ssh });
  app.farm.sessions.put(fakeSession({ sharedWith: ['local'] }));
  app.farm.sessions.put(fakeSession({ id: 'S00000000000000b2', alias: 'bob-linux-0', owner: 'bob' }));
  const ask = (name: string): Promise<Response> => app.ask(`/api/v1/sessions/${name}/ssh-certificate`, post({ publicKey: line }));
  const { certificate, command } = (await (await ask('ann-linux-0')).json()) as { certificate: string; command: string };
  const read = readCertificate(Buffer.from(certificate.split(' ')[1] ?? '', 'base64'));
  assert.deepEqual(read.principals, ['S00000000000000a1@farm.example', 'ann-linux-0@farm.example', 'local']);
  assert.equal(command, 'ssh -o CertificateFile=CERT -i KEY -p 2222 ann-linux-0@farm.example');
  assert.equal((await ask('bob-linux-0')).status, 403);
  const kept = { kind: 'held', build: 'B0123456789abcdef', attempt: 1, policy: true } as const;
  app.farm.sessions.put(fakeSession({ id: 'S00000000000000c3', alias: 'croft-linux-0', owner: 'croft', from: kept }));
  assert.equal((await ask('croft-linux-0')).status, 200, 'kept for whoever builds');
  assert.equal((await ask('carl-linux-0')).status, 404);
  const view = (await (await app.ask('/api/v1/ssh')).json()) as { knownHosts: string };
  assert.match(view.knownHosts, /^\[farm\.example\]:2222 ssh-ed25519 /);
});

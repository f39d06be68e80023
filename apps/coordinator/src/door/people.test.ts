/** Whose key it is: keys from the account page and from GitHub, and people who are none any more. gomote-ssh.md 8.2, acceptance 10. */
import assert from 'node:assert/strict';
import { generateKeyPairSync } from 'node:crypto';
import { once } from 'node:events';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { test } from 'node:test';
import { DAY, HOUR, MINUTE, SECOND } from '@croft/runtime/clock';
import { isCode } from '@croft/runtime/errors';
import { silentLog } from '@croft/runtime/log';
import { systemRandom } from '@croft/runtime/random';
import { FakeClock } from '@croft/runtime/testing';
import { createTokens } from '../auth/tokens.ts';
import { createGithubKeys } from './github-keys.ts';
import { createPeople, type People } from './people.ts';
import { keyFromObject, type PublicKey } from './public-key.ts';
import { openTestStore } from './testing.ts';

interface Stage extends AsyncDisposable {
  readonly clock: FakeClock;
  readonly people: People;
  readonly github: { answer: (path: string) => string | number; asked: string[] };
  token(name: string, role?: 'viewer' | 'developer'): Promise<string>;
  revoke(id: string): Promise<unknown>;
}

const newKey = (): PublicKey => keyFromObject(generateKeyPairSync('ed25519').publicKey);

async function openStage({
  logins = {},
  trustLocalUser = true,
}: { logins?: Record<string, string>; trustLocalUser?: boolean } = {}): Promise<Stage> {
  await using stack = new AsyncDisposableStack();
  const database = stack.use(await openTestStore());
  const clock = new FakeClock();
  const github: Stage['github'] = { answer: () => '', asked: [] };
  const server = createServer((request, response) => {
    github.asked.push(request.url ?? '');
    const answer = github.answer(request.url ?? '');
    response.writeHead(typeof answer === 'number' ? answer : 200).end(typeof answer === 'number' ? '' : answer);
  }).listen(0, '127.0.0.1');
  await once(server, 'listening');
  stack.defer(async () => void (server.close(), server.closeAllConnections(), await once(server, 'close')));
  const origin = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  const keys = createGithubKeys({ logins: () => logins, clock, log: silentLog, origin });
  const people = createPeople({ database, github: keys, trustLocalUser, clock, random: systemRandom });
  const tokens = createTokens({ database, clock, random: systemRandom });
  const owned = stack.move();
  return {
    clock,
    people,
    github,
    token: async (name, role = 'developer') => (await tokens.create({ name, role, repos: [], expiresInMs: DAY })).id,
    revoke: (id) => tokens.revoke(id),
    [Symbol.asyncDispose]: () => owned.disposeAsync(),
  };
}

const names = async (people: People, key: PublicKey): Promise<string[]> => (await people.withKey(key)).map(({ name }) => name);

test('a key counts for as long as its person has a token, and lets in with the highest role of those', async () => {
  await using stage = await openStage();
  const key = newKey();
  const viewer = await stage.token('ann', 'viewer');
  await stage.token('ann');
  await stage.people.add('ann', { key: `${key.line} ann@laptop`, name: '' });
  assert.deepEqual(await stage.people.withKey(key), [{ name: 'ann', role: 'developer', repos: [] }]);
  await stage.revoke(viewer);
  await stage.clock.advance(DAY - 1);
  assert.deepEqual(await names(stage.people, key), ['ann']);
  await stage.clock.advance(1);
  assert.deepEqual(await names(stage.people, key), []);
});

test('whom a session is shared with is somebody by a token that counts, by GitHub or as the local user, and else a stranger', async () => {
  await using stage = await openStage({ logins: { gil: 'gil-at-github' } });
  const revoked = await stage.token('eve');
  await stage.token('ann', 'viewer');
  assert.deepEqual(await stage.people.strangers(['ann', 'eve', 'gil', 'gil-at-github', 'local', 'Ann']), ['gil-at-github', 'Ann']);
  await stage.revoke(revoked);
  assert.deepEqual(await stage.people.strangers(['eve', 'ann']), ['eve']);
  await stage.clock.advance(DAY);
  assert.deepEqual(await stage.people.strangers(['ann']), ['ann']);
});

test('a key is named, listed, used and removed by its person, and by nobody else', async () => {
  await using stage = await openStage();
  await stage.token('ann');
  const key = newKey();
  const added = await stage.people.add('ann', { key: `${key.line} ann@laptop`, name: '' });
  assert.deepEqual([added.name, added.fingerprint], ['ann@laptop', key.fingerprint]);
  assert.deepEqual(await stage.people.add('ann', { key: key.line, name: 'again' }), added, 'the same again is no change');
  await stage.people.used('ann', key);
  assert.equal((await stage.people.keysOf('ann'))[0]?.lastUsedAt, stage.clock.now());
  await assert.rejects(stage.people.remove('bob', added.id), (error) => isCode(error, 'not-found'));
  await stage.people.remove('ann', added.id);
  assert.deepEqual(await names(stage.people, key), []);
});

test('somebody else’s public key gives nobody their place: it is then the key of both', async () => {
  await using stage = await openStage();
  for (const name of ['ann', 'mallory']) await stage.token(name);
  const key = newKey();
  for (const person of ['mallory', 'ann']) await stage.people.add(person, { key: key.line, name: '' });
  assert.deepEqual((await names(stage.people, key)).toSorted(), ['ann', 'mallory']);
});

test('one person has a limited number of keys', async () => {
  await using stage = await openStage();
  for (let at = 0; at < 50; at += 1) await stage.people.add('ann', { key: newKey().line, name: '' });
  await assert.rejects(stage.people.add('ann', { key: newKey().line, name: '' }), (error) => isCode(error, 'exhausted'));
});

test('the local user is somebody only where the farm knows them', async () => {
  await using trusting = await openStage();
  await using open = await openStage({ trustLocalUser: false });
  const key = newKey();
  for (const { people } of [trusting, open]) await people.add('local', { key: key.line, name: '' });
  assert.deepEqual(await trusting.people.withKey(key), [{ name: 'local', role: 'admin', repos: [] }]);
  assert.deepEqual(await open.people.withKey(key), []);
});

test('keys at GitHub count for those whom the configuration names, and are asked for each five minutes', async () => {
  await using stage = await openStage({ logins: { 'ann-marie': 'annm', bob: 'bob2' } });
  const key = newKey();
  stage.github.answer = (path) => (path === '/annm.keys' ? `ssh-dss AAAAB3NzaC1kc3M= old\n${key.line}\n` : 404);
  assert.deepEqual(await names(stage.people, key), ['ann-marie']);
  assert.deepEqual(await names(stage.people, newKey()), []);
  assert.deepEqual(stage.github.asked.toSorted(), ['/annm.keys', '/bob2.keys']);
  stage.github.answer = () => '';
  await stage.clock.advance(5 * MINUTE);
  assert.deepEqual(await names(stage.people, key), [], 'taken back at GitHub');
});

test('while GitHub is down its last answer counts, for an hour, and it is left alone between tries', async () => {
  await using stage = await openStage({ logins: { ann: 'ann' } });
  const key = newKey();
  stage.github.answer = () => key.line;
  assert.deepEqual(await names(stage.people, key), ['ann']);
  stage.github.answer = () => 503;
  await stage.clock.advance(5 * MINUTE);
  assert.deepEqual(await names(stage.people, key), ['ann']);
  assert.deepEqual(await names(stage.people, key), ['ann']);
  assert.equal(stage.github.asked.length, 2);
  await stage.clock.advance(15 * SECOND);
  await names(stage.people, key);
  assert.equal(stage.github.asked.length, 3);
  await stage.clock.advance(HOUR);
  assert.deepEqual(await names(stage.people, key), []);
});

test('KEY-2: nobody is somebody by the text of a name; an unknown key is nobody’s', async () => {
  await using stage = await openStage({ logins: { ann: 'ann' } });
  const marie = newKey();
  await stage.token('ann-marie');
  await stage.people.add('ann-marie', { key: marie.line, name: '' });
  assert.deepEqual(await names(stage.people, marie), ['ann-marie']);
  assert.deepEqual(await names(stage.people, newKey()), []);
  assert.equal(await stage.people.named('user-ann'), undefined);
});

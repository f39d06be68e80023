import assert from 'node:assert/strict';
import { createHmac } from 'node:crypto';
import { test } from 'node:test';
import { Secret } from '@croft/runtime/config';
import { fakeConnection } from '@croft/web/testing';
import { openTestApp, type TestApp } from './testing.ts';

const secret = 'a long secret of the forge';
const hookSecret = (repo: string): Secret | undefined => (repo === 'croft' ? new Secret(secret) : undefined);
const stranger = fakeConnection({ remoteAddress: '203.0.113.7', localAddress: '127.0.0.1' });
const body = '{"ref":"refs/heads/main"}';

function post(app: TestApp, headers: Record<string, string>, { path = '/hooks/croft', sent = body } = {}): Promise<Response> {
  return app.ask(path, { method: 'POST', body: sent, headers, connection: stranger });
}

const signed = (text: string, key = secret): Record<string, string> => ({
  'x-github-event': 'push',
  'content-type': 'application/json',
  'x-hub-signature-256': `sha256=${createHmac('sha256', key).update(text).digest('hex')}`,
});

test('a forge that knows the secret has its repository looked at, without a token and without waiting, as often as it says so', async () => {
  await using app = await openTestApp({ hookSecret });
  for (let n = 0; n < 2; n += 1) {
    const response = await post(app, signed(body));
    assert.equal(response.status, 202);
    assert.deepEqual(await response.json(), { repo: 'croft', branches: ['main'] });
  }
  assert.deepEqual(app.farm.asked, ['wake croft main', 'wake croft main']);
  assert.deepEqual(await app.audited(), ['hook (github): repo.notify croft', 'hook (github): repo.notify croft']);
});

test('a form is taken for its signature', async () => {
  await using app = await openTestApp({ hookSecret });
  const sent = new URLSearchParams({ payload: body }).toString();
  const response = await post(app, { ...signed(sent), 'content-type': 'application/x-www-form-urlencoded' }, { sent });
  assert.equal(response.status, 202);
  assert.deepEqual(app.farm.asked, ['wake croft main']);
});

test('a trial is answered and changes nothing', async () => {
  await using app = await openTestApp({ hookSecret });
  const sent = '{"zen":"Design for failure."}';
  const response = await post(app, { ...signed(sent), 'x-github-event': 'ping' }, { sent });
  assert.equal(response.status, 202);
  assert.match(await response.text(), /the secret is right/);
  assert.deepEqual(app.farm.asked, []);
  assert.deepEqual(await app.audited(), []);
});

test('who shows a wrong proof is refused, recorded, and told to wait after ten; a right proof passes all the same', async () => {
  await using app = await openTestApp({ hookSecret });
  const wrong = signed(body, 'another secret');
  const statuses: number[] = [];
  for (let n = 0; n < 12; n += 1) statuses.push((await post(app, wrong)).status);
  assert.deepEqual(statuses, [...Array.from({ length: 10 }, () => 401), 429, 429]);
  assert.deepEqual([...new Set(await app.audited())], ['hook (github): repo.notify refused croft']);
  assert.deepEqual(app.farm.asked, []);
  assert.equal((await post(app, signed(body))).status, 202);
});

test('no message says the secret, or which repositories there are', async () => {
  await using app = await openTestApp({ hookSecret });
  const refused = await post(app, { ...signed(body), 'x-hub-signature-256': '' });
  assert.equal(refused.status, 401);
  const text = await refused.text();
  assert.match(text, /has no X-Hub-Signature-256/);
  assert.ok(!text.includes(secret));
  const other = await post(app, signed(body), { path: '/hooks/other' });
  assert.equal(other.status, 403);
  assert.deepEqual(app.farm.asked, []);
});

test('a page cannot send one, whatever it knows', async () => {
  await using app = await openTestApp({ hookSecret });
  assert.equal((await post(app, { ...signed(body), origin: 'http://evil.example', 'sec-fetch-site': 'cross-site' })).status, 403);
  assert.deepEqual(app.farm.asked, []);
});

test('what is no message of that forge is refused with what to set', async () => {
  await using app = await openTestApp({ hookSecret });
  const response = await post(app, signed('text'), { sent: 'text' });
  assert.equal(response.status, 400);
  assert.match(await response.text(), /application\/json/);
});

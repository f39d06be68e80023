import assert from 'node:assert/strict';
import { test } from 'node:test';
import { fakeConnection } from '@croft/web/testing';
import { DAY } from '@croft/runtime/clock';
import { openTestApp, testOrigin, type TestApp } from './testing.ts';

const browser = { accept: 'text/html', 'sec-fetch-site': 'same-origin', 'sec-fetch-mode': 'navigate', 'sec-fetch-dest': 'document' };
const form = { ...browser, origin: testOrigin, 'content-type': 'application/x-www-form-urlencoded' };
const stranger = { peerUid: async () => 54_321 };

async function signIn(app: TestApp, secret: string, to = '/farm'): Promise<Response> {
  return app.ask('/signin', { method: 'POST', headers: form, body: new URLSearchParams({ token: secret, to }).toString() });
}

async function aToken(app: TestApp): Promise<{ id: string; secret: string }> {
  return app.auth.tokens.create({ name: 'someone', role: 'operator', repos: [], expiresInMs: DAY });
}

test('who is unknown is led to the form, and with a token back to where they wanted', async () => {
  await using app = await openTestApp(stranger);
  const turned = await app.ask('/farm?x=1', { headers: browser });
  assert.deepEqual([turned.status, turned.headers.get('location')], [303, '/signin?to=%2Ffarm%3Fx%3D1']);
  const page = await (await app.ask('/signin?to=%2Ffarm%3Fx%3D1', { headers: browser })).text();
  assert.match(page, /value="\/farm\?x=1"/);
  const { secret } = await aToken(app);
  const done = await signIn(app, secret, '/farm?x=1');
  assert.deepEqual([done.status, done.headers.get('location')], [303, '/farm?x=1']);
  const cookie = done.headers.get('set-cookie')?.split(';')[0] ?? '';
  assert.match(await (await app.ask('/farm', { headers: { ...browser, cookie } })).text(), /someone/);
  const failure = await (await app.ask('/builds/none', { headers: { ...browser, cookie } })).text();
  assert.match(failure, /href="\/account" title="you are someone, operator">.*class="card failure"/s);
  assert.deepEqual(await app.audited(), ['someone: session.begin']);
});

test('a session may do what its token may, until the token ends', async () => {
  await using app = await openTestApp(stranger);
  const { id, secret } = await aToken(app);
  const cookie = (await signIn(app, secret)).headers.get('set-cookie')?.split(';')[0] ?? '';
  assert.equal((await app.ask('/api/v1/me', { headers: { cookie } })).status, 200);
  assert.equal((await app.ask('/api/v1/tokens', { headers: { cookie } })).status, 403);
  await app.auth.tokens.revoke(id);
  assert.equal((await app.ask('/api/v1/me', { headers: { cookie } })).status, 401);
});

test('a wrong token is not repeated, is recorded, and after ten of them one has to wait', async () => {
  await using app = await openTestApp(stranger);
  const { secret } = await aToken(app);
  const statuses: number[] = [];
  for (let tries = 0; tries < 11; tries += 1) {
    const answer = await signIn(app, 'croft_guessed');
    statuses.push(answer.status);
    assert.ok(!(await answer.text()).includes('croft_guessed'));
  }
  assert.deepEqual(statuses, [...Array<number>(10).fill(401), 429]);
  assert.equal((await signIn(app, secret)).status, 429);
  assert.ok((await app.audited()).every((entry) => entry === 'anonymous: session.begin refused'));
});

test('signing in leads nowhere but to this farm', async () => {
  await using app = await openTestApp(stranger);
  const { secret } = await aToken(app);
  for (const to of [
    'https://evil.example/',
    '//evil.example',
    '/\\evil.example',
    'javascript:alert(1)',
    '/a\r\nset-cookie: x=y',
    '/\t/evil.example',
  ]) {
    assert.equal((await signIn(app, secret, to)).headers.get('location'), '/', to);
  }
});

test('a page of another site can neither sign somebody in nor out', async () => {
  await using app = await openTestApp();
  for (const address of ['/signin', '/signout']) {
    const answer = await app.ask(address, {
      method: 'POST',
      headers: { ...form, origin: 'http://evil.example', 'sec-fetch-site': 'cross-site' },
      body: 'token=x',
    });
    assert.equal(answer.status, 403);
    assert.equal(answer.headers.get('set-cookie'), null);
  }
});

test('signing out takes the cookie away', async () => {
  await using app = await openTestApp();
  const answer = await app.ask('/signout', { method: 'POST', headers: form, body: '' });
  assert.match(answer.headers.get('set-cookie') ?? '', /^croft_session=; .*Max-Age=0/);
});

test('a link from another site gets a second chance to show its session', async () => {
  await using app = await openTestApp(stranger);
  const answer = await app.ask('/farm', { headers: { ...browser, 'sec-fetch-site': 'cross-site' } });
  assert.equal(answer.status, 200);
  assert.match(await answer.text(), /http-equiv="refresh" content="0"/);
});

test('behind TLS the cookie is bound to the host', async () => {
  await using app = await openTestApp(stranger);
  const { secret } = await aToken(app);
  const answer = await app.ask(`https://127.0.0.1:8080/signin`, {
    method: 'POST',
    body: new URLSearchParams({ token: secret }).toString(),
    connection: fakeConnection({ encrypted: true }),
    headers: { ...form, origin: 'https://127.0.0.1:8080' },
  });
  assert.match(answer.headers.get('set-cookie') ?? '', /^__Host-croft_session=.*Secure$/);
  assert.equal(answer.headers.get('strict-transport-security'), 'max-age=31536000');
});

test('programs get JSON and no redirect', async () => {
  await using app = await openTestApp(stranger);
  const answer = await app.ask('/farm', { headers: { accept: '*/*' } });
  assert.equal(answer.status, 401);
  assert.match(answer.headers.get('www-authenticate') ?? '', /^Bearer/);
});

test('every answer carries the headers that keep pages apart', async () => {
  await using app = await openTestApp();
  for (const address of ['/', '/signin', '/api/v1/me', '/nothing', '/healthz']) {
    const { headers } = await app.ask(address, { headers: { accept: 'text/html' } });
    assert.match(headers.get('content-security-policy') ?? '', /frame-ancestors 'none'/, address);
    assert.doesNotMatch(headers.get('content-security-policy') ?? '', /unsafe/, address);
    assert.equal(headers.get('x-content-type-options'), 'nosniff', address);
    assert.equal(headers.get('referrer-policy'), 'same-origin', address);
    assert.equal(headers.get('cross-origin-resource-policy'), 'same-origin', address);
  }
});

/** The pages of borrowed machines and of the account, as HTML and by their addresses. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { FakeClock } from '@croft/runtime/testing';
import { fakeConnection } from '@croft/web/testing';
import type { BuilderEntry } from '../originals/farmer.ts';
import { accountPage } from './account-page.ts';
import { filesFragment } from './session-files-page.ts';
import { sessionPage } from './session-page.ts';
import { availability, choicesOf, sessionsPage } from './sessions-page.ts';
import { testKey, testRuns, testSessions } from './testing-borrowing.ts';
import { testApp } from './testing-server.ts';
import { fakeFarm, type FakeFarm } from './testing.ts';
import { hostile, testDetail, testNow } from './testing-views.ts';

const owner = { name: 'someone', may: () => true };
const viewer = { name: 'eve', may: (role: string) => role === 'viewer' };
const html = { 'HX-Request': 'true' };

interface Open {
  readonly farm: FakeFarm;
  get(path: string, headers?: Record<string, string>): Promise<Response>;
  post(path: string, form?: Record<string, string>, headers?: Record<string, string>): Promise<Response>;
}

function open(): Open {
  const farm = fakeFarm();
  for (const session of testSessions('someone')) farm.sessions.put(session);
  farm.borrowing.runs = testRuns();
  const app = testApp(farm, new FakeClock(testNow));
  const ask = async (path: string, init: RequestInit): Promise<Response> =>
    app.fetch(new Request(`http://farm.test${path}`, init), { connection: fakeConnection() });
  return {
    farm,
    get: (path, headers = {}) => ask(path, { headers }),
    post: (path, form = {}, headers = {}) => ask(path, { method: 'POST', body: new URLSearchParams(form), headers }),
  };
}

/** Nothing of what came from outside has become markup. */
function assertInert(page: string): void {
  assert.ok(!/<script>|<img/i.test(page.replaceAll(/<script src="[^"]*" defer><\/script>/g, '')), 'no tag');
  assert.ok(page.includes('&lt;script&gt;'), 'it is shown as text');
}

test('what people, machines and their files are called is inert', async () => {
  const sessions = testSessions('someone', hostile);
  const list = { sessions, filter: 'all', choices: [{ name: hostile, free: 0, all: 1 }], reader: owner, now: testNow } as const;
  assertInert(String(await sessionsPage(list)));
  const entries = [{ line: '', perm: '-rw-r--r--', name: hostile, isDir: false, sizeBytes: 1, mtimeAt: testNow }];
  const [session] = sessions;
  assert.ok(session);
  const files = filesFragment({ session, dir: hostile, directory: { entries, isCut: true }, now: testNow });
  assertInert(String(await sessionPage({ session, reader: owner, runs: testRuns(), files, run: 'sh-1', now: testNow })));
  const keys = [testKey({ name: hostile, type: hostile })];
  assertInert(
    String(
      await accountPage({
        who: { name: hostile, role: 'admin', repos: [hostile], via: 'token' },
        keys,
        door: undefined,
        origin: 'http://x',
        now: testNow,
      }),
    ),
  );
});

test('a viewer sees who holds what and can do nothing about it; an operator can end what is not theirs', async () => {
  const sessions = testSessions('someone');
  const shown = async (reader: typeof owner): Promise<string> =>
    String(await sessionsPage({ sessions, filter: 'all', choices: [{ name: 'x', free: 1, all: 1 }], reader, now: testNow }));
  const page = await shown(viewer as never);
  assert.match(page, /someone-linux-amd64-0/);
  assert.match(page, /in 29 min/);
  assert.match(page, /next; 2 of 2 machines busy.*expected to start/);
  assert.doesNotMatch(page, /<form/);
  const operator = await shown({ name: 'olga', may: (role: string) => role !== 'admin' } as never);
  assert.match(operator, /Destroy <bdi>someone-linux-amd64-0/);
  assert.doesNotMatch(operator, /act-extend/);
  const [session] = sessions;
  assert.ok(session);
  const one = String(await sessionPage({ session, reader: viewer as never, now: testNow }));
  assert.doesNotMatch(one, /id="terminal"|id="files"|ssh -p/);
});

test('a builder is offered with how many of its machines are free, and what it waits for', () => {
  const builders = { linux: { needs: { labels: ['linux'] } }, plan9: { needs: { labels: ['plan9'] } } } as unknown as Record<
    string,
    BuilderEntry
  >;
  const kinds = [
    { labels: ['linux', 'x64'], all: 2, free: 1 },
    { labels: ['linux', 'arm64'], all: 1, free: 0 },
    { labels: ['darwin'], all: 4, free: 4 },
  ];
  const choices = choicesOf(builders, kinds);
  assert.deepEqual(choices, [
    { name: 'linux', all: 3, free: 1 },
    { name: 'plan9', all: 0, free: 0 },
  ]);
  assert.deepEqual(choices.map(availability), ['1 of 3 machines free', 'no such machine is here: waits for one']);
  assert.equal(availability({ free: 0, all: 1 }), '0 of 1 machine free: waits for the next');
});

test('the first builder with a free machine is chosen beforehand, unless another one was asked for', async () => {
  const choices = [
    { name: 'arm', free: 0, all: 0 },
    { name: 'linux', free: 1, all: 2 },
  ];
  const chosen = async (builder?: string): Promise<string | undefined> => {
    const page = String(await sessionsPage({ sessions: [], filter: 'all', choices, builder, reader: owner, now: testNow }));
    return /value="([^"]*)" selected/.exec(page)?.[1];
  };
  assert.deepEqual([await chosen(), await chosen('arm')], ['linux', 'arm']);
});

test('sessions can be looked at by whose they are, and those that have ended', async () => {
  const { get } = open();
  const shown = async (path: string): Promise<string[]> =>
    [...(await (await get(path)).text()).matchAll(/row"><a href="[^"]*"><bdi>([^<]*)/g)].map(([, alias = '']) => alias);
  assert.equal((await shown('/sessions')).length, 5);
  assert.equal((await shown('/sessions?show=mine')).length, 4);
  assert.deepEqual(await shown('/sessions?show=ended'), ['someone-linux-amd64-5']);
  assert.equal((await get('/sessions?show=x')).status, 400);
});

test('forms borrow, extend, share, note and destroy without a script, and come back to where they were', async () => {
  const { farm, post } = open();
  const created = await post('/sessions', { builder: 'linux-amd64', note: 'a flake' });
  assert.equal(created.status, 303);
  assert.match((await post('/sessions', { builder: 'linux-amd64' }, html)).headers.get('hx-redirect') ?? '', /^\/sessions\/S/);
  const [, id = ''] = /^\/sessions\/(S[0-9a-f]{16})$/.exec(created.headers.get('location') ?? '') ?? [];
  assert.equal(farm.sessions.all.get(id)?.note, 'a flake');
  const to = async (act: string, form: Record<string, string>): Promise<string | null> =>
    (await post(`/sessions/${id}/${act}`, form)).headers.get('location');
  assert.equal(await to('extend', { forMs: '3600000', back: 'sessions' }), '/sessions');
  assert.equal(await to('share', { with: 'ann, bob', back: 'session' }), `/sessions/${id}`);
  assert.equal(await to('note', { note: 'another' }), `/sessions/${id}`);
  assert.deepEqual([farm.sessions.all.get(id)?.sharedWith, farm.sessions.all.get(id)?.note], [['ann', 'bob'], 'another']);
  await to('destroy', { why: '' });
  assert.equal(farm.sessions.all.get(id)?.endReason, 'someone: no reason given');
  for (const form of [{ forMs: '-1' }, { forMs: 'x' }, {}]) assert.equal((await post(`/sessions/${id}/extend`, form)).status, 400);
});

test('a colleague whom nobody knows is told as such where the session is, and inert', async () => {
  const { farm, get } = open();
  const [session] = testSessions('someone');
  assert.ok(session);
  farm.sessions.put({ ...session, sharedWith: ['ann', hostile], strangers: [hostile] });
  for (const path of ['/sessions', session.url]) {
    const page = await (await get(path)).text();
    assert.match(page, /nobody is called <bdi>[^<]*<\/bdi> here yet/, path);
    assertInert(page);
  }
});

test('with scripts only the part that changed comes back', async () => {
  const { post, get } = open();
  const id = 'S0000000000000000';
  assert.match(await (await post(`/sessions/${id}/note`, { note: 'x', back: 'session' }, html)).text(), /^<div id="session"/);
  assert.match(await (await post(`/sessions/${id}/note`, { note: 'x', back: 'sessions' }, html)).text(), /^<div id="session-list"/);
  assert.match(await (await get(`/sessions/${id}`, html)).text(), /^<div id="session"/);
  assert.match(await (await get(`/sessions/${id}/runs`, html)).text(), /^<div id="session-runs".*running, 1 attached/s);
});

test('only a page with a terminal may have styles in place, and only such a page loads one', async () => {
  const { get } = open();
  const whole = await get('/sessions/S0000000000000000');
  assert.match(whole.headers.get('content-security-policy') ?? '', /style-src 'self' 'unsafe-inline'/);
  assert.match(whole.headers.get('content-security-policy') ?? '', /script-src 'self';/);
  assert.match(await whole.text(), /terminal-[0-9a-f]{12}\.js/);
  for (const path of ['/sessions', '/sessions/S0000000000000001', '/account', '/']) {
    const other = await get(path);
    assert.doesNotMatch(other.headers.get('content-security-policy') ?? '', /unsafe/);
    assert.doesNotMatch(await other.text(), /terminal-[0-9a-f]{12}/, path);
  }
});

test('a session that waits says why and for how long, and the page that comes when it is there has the rest', async () => {
  const { get } = open();
  const page = await (await get('/sessions/S0000000000000001')).text();
  assert.match(page, /<strong>Waits: <bdi>next; 2 of 2 machines busy/);
  assert.match(page, /place 1 · expected to start/);
  assert.doesNotMatch(page, /data-needs/);
  assert.match(await (await get('/sessions/S0000000000000000', html)).text(), /data-needs="#session-runs"/);
});

test('the page of a build keeps its machine or borrows one like it, and links to the session that does', async () => {
  const { farm, get } = open();
  const id = 'B0123456789abcdef';
  farm.state.builds.set(id, testDetail({ id }));
  const page = await (await get(`/builds/${id}`)).text();
  assert.match(page, /action="\/builds\/B0123456789abcdef\/hold"/);
  assert.match(page, /action="\/builds\/B0123456789abcdef\/repro"/);
  assert.match(page, /Its machine is kept: <a href="\/sessions\/S0000000000000003">/);
});

test('a key is added, seen and removed; what is none is refused', async () => {
  const { farm, get, post } = open();
  assert.equal((await post('/account/keys', { key: 'ssh-ed25519 AAAA me@laptop', name: '' })).headers.get('location'), '/account');
  const page = await (await get('/account')).text();
  assert.match(page, /me@laptop.*SHA256:/s);
  assert.match(page, /never/);
  assert.match(page, /gomote --server http:\/\/farm\.test create/);
  assert.equal((await post('/account/keys', { key: '-----BEGIN OPENSSH PRIVATE KEY-----' })).status, 400);
  const told = async (key: string): Promise<string | undefined> =>
    /status"><bdi>([^<]*)/.exec(await (await post('/account/keys', { key }, html)).text())?.[1];
  assert.equal(await told('ssh-ed25519 AAAA another'), 'you have this key already, as me@laptop');
  assert.equal(await told('ssh-rsa BBBB old@laptop'), 'old@laptop was added');
  const [, key] = farm.borrowing.keys;
  await post(`/account/keys/${key?.id}/remove`);
  assert.deepEqual(
    farm.borrowing.keys.map(({ name }) => name),
    ['old@laptop'],
  );
});

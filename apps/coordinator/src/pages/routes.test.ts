import { test } from 'node:test';
import assert from 'node:assert/strict';
import { CroftError } from '@croft/runtime/errors';
import { FakeClock } from '@croft/runtime/testing';
import { fakeConnection } from '@croft/web/testing';
import { fakeFarm, growingLog, type FakeFarm } from './testing.ts';
import { testApp } from './testing-server.ts';
import { testAttempt, testDetail, testNow } from './testing-views.ts';

const id = 'B0123456789abcdef';

interface Open {
  readonly farm: FakeFarm;
  get(path: string, headers?: Record<string, string>): Promise<Response>;
  post(path: string, form?: Record<string, string>, headers?: Record<string, string>): Promise<Response>;
}

function open(): Open {
  const farm = fakeFarm();
  farm.state.builds.set(id, testDetail({ attemptList: [testAttempt(), testAttempt({ number: 2 })] }));
  farm.state.logs.set(`${id}.1`, growingLog('first attempt\n'));
  farm.state.logs.set(`${id}.2`, growingLog('one\ntwo\nthree\n'));
  const app = testApp(farm, new FakeClock(testNow));
  const ask = async (path: string, init: RequestInit): Promise<Response> =>
    app.fetch(new Request(`http://farm.test${path}`, init), { connection: fakeConnection() });
  return {
    farm,
    get: (path, headers = {}) => ask(path, { headers }),
    post: (path, form = {}, headers = {}) => ask(path, { method: 'POST', body: new URLSearchParams(form), headers }),
  };
}

test('the whole page for a browser, the part that renews itself for htmx', async () => {
  const { get } = open();
  for (const path of ['/', '/farm', '/config', `/builds/${id}`]) {
    const page = await (await get(path)).text();
    const part = await (await get(path, { 'HX-Request': 'true' })).text();
    assert.match(page, /^<!doctype html>\n<html lang="en"/);
    assert.match(part, /^<div id="(grid|farm|config|build)"/);
    assert.ok(page.includes('id="main"') && !part.includes('id="main"'));
  }
});

test('a browser never mistakes a part for the page, nor keeps either', async () => {
  const { headers } = await open().get('/');
  assert.match(headers.get('vary') ?? '', /HX-Request/);
  assert.equal(headers.get('cache-control'), 'no-store');
});

test('the theme chosen by hand is rendered, so that nothing flashes', async () => {
  const { get } = open();
  assert.match(await (await get('/', { cookie: 'a=b; croft-theme=dark' })).text(), /data-theme="dark"/);
  assert.doesNotMatch(await (await get('/', { cookie: 'croft-theme="><script>' })).text(), /data-theme/);
});

test('without scripts the page of a build shows the end of its log', async () => {
  assert.match(await (await open().get(`/builds/${id}`)).text(), /<pre><bdi>one\ntwo\nthree/);
});

test('any attempt can be looked at; one that is not there is not found', async () => {
  const { get } = open();
  assert.match(await (await get(`/builds/${id}?attempt=1`)).text(), /first attempt/);
  assert.equal((await get(`/builds/${id}?attempt=7`)).status, 404);
});

test('lines are looked up by number and by offset', async () => {
  const { get } = open();
  const at = async (query: string): Promise<unknown> => (await get(`/builds/${id}/attempts/2/lines?${query}`)).json();
  assert.deepEqual(await at('line=2'), { line: 2, offset: 8, lines: 3, bytes: 14, live: true });
  assert.deepEqual(await at('offset=5'), { line: 1, offset: 4, lines: 3, bytes: 14, live: true });
  assert.equal((await get(`/builds/${id}/attempts/2/lines`)).status, 400);
});

test('cancelling says who and why and comes back to the build', async () => {
  const { farm, post } = open();
  const { end: _end, ...running } = testDetail({ state: 'running' });
  farm.state.builds.set(id, running);
  const answer = await post(`/builds/${id}/cancel`, { why: 'superseded' });
  assert.deepEqual([answer.status, answer.headers.get('location')], [303, `/builds/${id}`]);
  assert.deepEqual(farm.asked, [`cancel ${id} someone: superseded`]);
});

test('an operator tends a machine from the page, and comes back to the farm', async () => {
  const { farm, post, get } = open();
  assert.match(await (await get('/farm')).text(), /Drain <bdi>local-1<\/bdi>.*Declare <bdi>local-1<\/bdi> lost/s);
  for (const verb of ['drain', 'lose']) assert.equal((await post(`/farm/machines/local-1/${verb}`, { why: 'new disk' })).status, 303);
  const part = await post('/farm/machines/local-1/undrain', {}, { 'HX-Request': 'true' });
  assert.match(await part.text(), /^<div id="farm"/);
  assert.deepEqual(farm.asked, ['drain local-1 someone: new disk', 'lose local-1 someone: new disk', 'undrain local-1']);
});

test('a retry from a script comes back with the part that changed', async () => {
  const { farm, post } = open();
  const part = await (await post(`/builds/${id}/retry`, {}, { 'HX-Request': 'true' })).text();
  assert.deepEqual(farm.asked, [`retry ${id} someone`]);
  assert.match(part, /^<div id="build" class="live build queued"/);
});

test('who retries a build that has already been retried sees it wait', async () => {
  const { post } = open();
  await post(`/builds/${id}/retry`);
  assert.equal((await post(`/builds/${id}/retry`)).status, 303);
});

test('a retry that is refused for another reason than that somebody was faster says so', async () => {
  const { farm, post } = open();
  farm.state.builds.set(id, testDetail());
  farm.retry = async () => {
    throw new CroftError('conflict', 'builder unit is not configured any more');
  };
  const answer = await post(`/builds/${id}/retry`);
  assert.equal(answer.status, 409);
  assert.match(await answer.text(), /builder unit is not configured any more/);
});

test('what makes no sense is refused with a reason', async () => {
  const { get } = open();
  for (const [path, status, text] of [
    ['/?page=x', 400, /invalid page value/],
    ['/?page=-1', 400, /invalid page value/],
    ['/builds/nonsense', 400, /build id/],
    ['/builds/B00000000000000ff', 404, /there is no build/],
    ['/nothing', 404, /no such page/],
  ] as const) {
    const answer = await get(path);
    assert.equal(answer.status, status, path);
    assert.match(await answer.text(), text);
  }
});

test('a page of the grid links to the next one of the same branch', async () => {
  const page = await (await open().get('/?repo=croft&branch=release-1&page=2')).text();
  assert.match(page, /href="\/\?repo=croft&amp;branch=release-1&amp;page=3"/);
  assert.match(page, /href="\/\?repo=croft&amp;branch=release-1&amp;page=1"/);
});

import { test } from 'node:test';
import assert from 'node:assert/strict';
import { testApp } from './testing-server.ts';
import { fakeFarm, type FakeFarm } from './testing.ts';
import { fillShelf } from './testing-shelf.ts';
import { hostile, testAttempt, testBuild, testDetail, testGrid, testNow, testStep } from './testing-views.ts';

const revision = 'a1b2c3d4e5f60718293a4b5c6d7e8f9001122334';
const id = 'B0123456789abcdef';

function open(
  fill: (farm: FakeFarm) => void = fillShelf,
): (path: string, headers?: Record<string, string>) => Promise<{ status: number; to: string | null; text: string }> {
  const farm = fakeFarm();
  fill(farm);
  const app = testApp(farm);
  return async (path, headers = {}) => {
    const answer = await app.fetch(new Request(`http://127.0.0.1${path}`, { headers }), { connection: {} as never });
    return { status: answer.status, to: answer.headers.get('location'), text: await answer.text() };
  };
}

const pages = [
  '/repos',
  '/repos/croft',
  `/repos/croft/commits/${revision}`,
  '/builders',
  '/builders/linux-amd64',
  '/search?q=x',
  `/builds/${id}/events`,
  '/audit',
];

test('hostile names are inert on every page that lists them', async () => {
  const get = open((farm) => fillShelf(farm, hostile));
  for (const path of pages) {
    const { status, text } = await get(path);
    assert.equal(status, 200, path);
    assert.ok(!/<script>|<img/i.test(text), `${path}: no tag of theirs`);
    assert.ok(text.includes('&lt;script&gt;'), `${path}: they are shown as text`);
    for (const { index } of text.matchAll(/\u202e/g)) {
      const tag = text.slice(text.lastIndexOf('<', index), index);
      assert.ok(/^<bdi| value="[^"]*$/.test(tag), `${path}: an override stands in ${tag.slice(0, 60)}`);
    }
  }
});

test('each live page renews itself from its own address', async () => {
  const get = open();
  for (const path of pages.filter((page) => !/search|audit/.test(page))) {
    const part = await get(path, { 'HX-Request': 'true' });
    assert.match(part.text, /^<div id="[a-z-]+" class="live/, path);
    assert.ok(part.text.includes(`hx-get="${path}"`), path);
  }
});

test('no page gives an id twice', async () => {
  const get = open();
  for (const path of pages) {
    const ids = Array.from((await get(path)).text.matchAll(/ id="([^"]*)"/g), ([, id]) => id);
    assert.deepEqual(ids, [...new Set(ids)], path);
  }
});

test('a commit tells in short how it stands, those that need somebody first', async () => {
  const { text } = await open()(`/repos/croft/commits/${revision}`);
  const tally = /<ul class="tally"[^]*?<\/ul>/
    .exec(text)?.[0]
    .replaceAll(/<[^>]*>/g, ' ')
    .replaceAll(/\s+/g, ' ')
    .trim();
  assert.equal(tally, 'failed 1 passed 1');
  assert.match(text, /Built with it/);
});

test('a builder that has judged nothing has no rate; another has one of what the code decided', async () => {
  const get = open();
  assert.match((await get('/builders')).text, /50 %/);
  const none = open((farm) => {
    fillShelf(farm);
    const [builder] = farm.browse.shelf.builders;
    if (builder) farm.browse.shelf.builders = [{ ...builder, recent: [], rate: { passed: 0, failed: 0, infra: 3 } }];
  });
  assert.doesNotMatch((await none('/builders')).text, /\d %/);
});

test('a list of many has pages', async () => {
  const get = open((farm) => {
    fillShelf(farm);
    const [builder] = farm.browse.shelf.builders;
    if (builder) farm.browse.shelf.builders = Array.from({ length: 120 }, () => builder);
  });
  const { text } = await get('/builders?page=1');
  assert.match(text, /href="\/builders">← Before<\/a><span>page 2 of 3<\/span><a rel="next" href="\/builders\?page=2"/);
  assert.match(text, /hx-get="\/builders\?page=1"/);
  assert.equal((await get('/builders?page=x')).status, 400);
});

test('who names a build or a commit is led to it at once', async () => {
  const found = { builds: [testBuild()], commits: [], builders: [], repos: [] };
  const get = open((farm) => void (farm.browse.shelf.found = found));
  const { status, to } = await get(`/search?q=${id}`);
  assert.deepEqual([status, to], [303, `/builds/${id}`]);
  const several = open();
  assert.equal((await several('/search?q=x')).status, 200);
});

test('a search that finds nothing says what it would find', async () => {
  const { text } = await open((farm) => farm)('/search?q=zebra');
  assert.match(text, /Nothing found for <bdi>zebra.*by its id/s);
  assert.match(text, /<input type="search" name="q" value="zebra"/);
});

test('the line of time shows each attempt with its steps, a step still running too', async () => {
  const steps = [
    testStep({ name: 'source', startedAt: testNow - 90_000, endedAt: testNow - 80_000 }),
    testStep({ name: 'tests', state: 'running', startedAt: testNow - 80_000, endedAt: undefined, exit: undefined }),
    testStep({ name: 'later', state: 'pending', startedAt: undefined, endedAt: undefined, exit: undefined }),
  ];
  const attempt = testAttempt({ state: 'running', end: undefined, endedAt: undefined, startedAt: testNow - 100_000, steps });
  const get = open((farm) => void farm.state.builds.set(id, testDetail({ state: 'running', end: undefined, attemptList: [attempt] })));
  const { text } = await get(`/builds/${id}/events`);
  const bars = [...text.matchAll(/<rect x="(\d+)" width="(\d+)"/g)].map(([, x, width]) => [Number(x), Number(width)]);
  assert.equal(bars.length, 3, 'the attempt and the two steps that began');
  assert.deepEqual(bars[0]?.[0], 0);
  assert.ok(Math.abs((bars[1]?.[0] ?? 0) - 100) < 5 && Math.abs((bars[1]?.[1] ?? 0) - 100) < 5, String(bars[1]));
  assert.match(text, /write_source[^]*finish_write_source/);
});

test('a farm that lacks something says what, and what to do next', async () => {
  const lacking = async (over: Parameters<typeof testGrid>[0], repos = ['croft']): Promise<string> => {
    const get = open((farm) => {
      farm.state.grid = { ...testGrid(over), repos };
      farm.state.farm = { ...farm.state.farm, machines: [] };
    });
    const { text } = await get('/');
    return /<li aria-current="step">[^]*?<\/li>/.exec(text)?.[0].replaceAll(/<[^>]*>/g, ' ') ?? 'nothing';
  };
  assert.match(await lacking({ rows: 0, builders: [] }, []), /A repository[^]*npm start -- --repo/);
  assert.match(await lacking({ rows: 0 }), /A commit[^]*croft notify croft/);
  assert.match(await lacking({ rows: 3, builders: [] }), /A builder[^]*steps: 'detect'/);
  assert.equal(await lacking({ rows: 3 }), 'nothing', 'builds that began need no advice');
});

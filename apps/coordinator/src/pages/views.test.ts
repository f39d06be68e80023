import { test } from 'node:test';
import assert from 'node:assert/strict';
import type { AttemptView, BuildDetail, Farm } from '@croft/protocol/api';
import { looks, word } from '@croft/web/html/state';
import { buildPage, type BuildPageView } from './build-page.ts';
import { farmPage } from './farm-page.ts';
import { gridPage } from './grid-page.ts';
import { failurePage, signInPage } from './sign-in-page.ts';
import {
  hostile,
  testAttempt,
  testBuild,
  testCommit,
  testDetail,
  testFarm,
  testGrid,
  testMachine,
  testMachineList,
  testNow,
  testStep,
} from './testing-views.ts';

const someone = { name: 'someone', may: () => true };

function view(build: BuildDetail, over: Partial<BuildPageView> = {}): BuildPageView {
  return {
    build,
    attempt: build.attemptList.at(-1),
    chosen: false,
    tail: undefined,
    artifacts: [],
    caches: [],
    sessions: [],
    who: someone,
    now: testNow,
    ...over,
  };
}

function shownFarm(farm: Farm): ReturnType<typeof farmPage> {
  return farmPage({ farm, list: testMachineList(farm.machines), filter: { find: '', state: undefined, page: 0 }, now: testNow });
}

/** Nothing of what came from outside may have become markup, and nothing bidirectional may stand outside of its own place. */
function assertInert(page: string): void {
  // What is sent back or looked up, and never shown, is kept exact.
  const shown = page.replaceAll(/ (?:value|id|data-(?!title|key)[a-z-]+)="[^"]*"/g, '');
  assert.ok(!/<script|<img/i.test(page), 'no tag');
  assert.ok(!/[\0\u001b]/.test(shown), 'controls are shown as pictures');
  for (const { index } of shown.matchAll(/\u202e/g)) {
    const tag = shown.slice(shown.lastIndexOf('<', index), index);
    assert.ok(tag.startsWith('<bdi'), `an override stands inside of an isolated element, not ${tag.slice(0, 60)}`);
  }
  assert.ok(page.includes('&lt;script&gt;'), 'it is shown as text');
}

test('hostile names, subjects and reasons are inert on the grid', async () => {
  const grid = testGrid({ builders: [hostile, 'b'], rows: 2 });
  grid.rows[0] = {
    commit: testCommit({ subject: hostile, authorName: hostile, authorEmail: hostile }),
    cells: [testBuild({ builder: hostile, end: { kind: 'infra', cause: 'internal', evidence: hostile } }), null],
  };
  assertInert(
    String(
      await gridPage({
        grid: { ...grid, repo: hostile, branch: hostile, repos: [hostile], branches: [hostile] },
        farm: testFarm({
          hold: hostile,
          troubles: [{ what: hostile, text: hostile, since: testNow, build: 'B0123456789abcdef' }],
          repos: [{ name: hostile, url: hostile, error: hostile }],
        }),
        now: testNow,
      }),
    ),
  );
});

test('machines that have not dialled in are told with what to do about them', async () => {
  const short = { pool: 'macs', hostType: 'darwin-arm64', expect: 4, connected: 1, missing: [] };
  const page = String(await shownFarm(testFarm({ dialIn: [short] })));
  assert.match(page, /3 machines missing<\/strong>: 1 of 4 of the pool <bdi>macs<\/bdi> are connected/);
  assert.match(page, /href="\/dist\/install\.sh"[^]*croft key create --host-type <bdi>darwin-arm64<\/bdi>[^]*croft-buildlet/);
  assert.doesNotMatch(String(await shownFarm(testFarm({ dialIn: [{ ...short, connected: 4 }] }))), /missing|install\.sh/);
  assertInert(String(await shownFarm(testFarm({ dialIn: [{ ...short, pool: hostile, hostType: hostile }] }))));
});

test('what was left behind is inert and linked, and what is missing is said', async () => {
  const base = { attempt: 1, storedAt: testNow, files: 0, bytes: 0, fileList: [] };
  const file = {
    path: hostile,
    bytes: 1_000,
    sha256: 'a'.repeat(64),
    mode: 0o644,
    url: '/builds/B0123456789abcdef/attempts/1/artifacts/app/x',
  };
  const page = String(
    await buildPage(
      view(testDetail(), {
        caches: [
          { attempt: 1, name: 'npm', key: hostile, restored: { key: 'older', bytes: 2_000 }, savedBytes: 3_000 },
          { attempt: 1, name: 'go', key: 'k', why: hostile },
        ],
        artifacts: [
          { ...base, name: 'app', state: 'kept', files: 3, fileList: [file], keepUntil: testNow + 60_000 },
          { ...base, name: 'big', state: 'refused', why: hostile },
          { ...base, name: 'cov', state: 'missing' },
          { ...base, name: 'old', state: 'expired', files: 2 },
        ],
      }),
    ),
  );
  assertInert(page);
  assert.ok(page.includes(`<a href="${file.url}" download>`));
  for (const said of [
    'and 2 files more',
    'missing: nothing matched',
    'not kept:',
    'removed by retention',
    'restored',
    'saved',
    'nothing to restore',
  ])
    assert.ok(page.includes(said), said);
});

test('hostile names, commands and logs are inert on the build page', async () => {
  const attempt = testAttempt({
    machine: hostile,
    reason: hostile,
    configHash: hostile,
    end: { kind: 'failed', step: hostile, text: hostile },
    steps: [testStep({ name: hostile, argv: [hostile, hostile], exit: { kind: 'lost', reason: hostile }, evidence: [hostile] })],
  });
  const build = testDetail({
    builder: hostile,
    repo: hostile,
    trigger: { kind: 'change', ref: hostile },
    end: { kind: 'cancelled', by: hostile, why: hostile },
    commit: testCommit({ subject: hostile, authorName: hostile }),
    wait: { code: 'hold', text: hostile, position: 0 },
    attemptList: [testAttempt({ end: { kind: 'infra', cause: 'internal', evidence: hostile } }), { ...attempt, number: 2 }],
  });
  assertInert(String(await buildPage(view(build, { tail: { text: hostile, skipped: 1 }, who: { name: hostile, may: () => true } }))));
});

test('hostile machines, labels and repositories are inert on the farm page', async () => {
  const machine = testMachine({
    id: hostile,
    pool: hostile,
    hostType: hostile,
    labels: [hostile],
    next: hostile,
    evidence: hostile,
    lease: { id: hostile, holder: hostile, build: hostile, epoch: 1, acquiredAt: testNow },
  });
  const builds = [testBuild({ builder: hostile, repo: hostile, wait: { code: 'hold', text: hostile, position: 0 } })];
  assertInert(
    String(
      await shownFarm(
        testFarm({
          version: hostile,
          hold: hostile,
          machines: [machine],
          running: builds,
          queue: builds,
          repos: [{ name: hostile, url: hostile, defaultBranch: hostile, error: hostile }],
        }),
      ),
    ),
  );
});

test('hostile messages are inert on the sign-in and failure pages', async () => {
  assertInert(String(await signInPage({ to: hostile, mistake: hostile })));
  assertInert(String(await failurePage({ status: 500, message: hostile, hint: hostile, id: hostile })));
});

test('no page has an inline script, style or handler', async () => {
  const pages = [
    gridPage({ grid: testGrid(), farm: testFarm(), now: testNow }),
    shownFarm(testFarm()),
    buildPage(view(testDetail())),
    signInPage({ to: '/' }),
  ];
  for (const page of pages) assert.doesNotMatch(String(await page), /<script|<style|\sstyle=|\son[a-z]+=|javascript:/i);
});

test('every state has a shape and a word of its own on the grid', async () => {
  const ends: AttemptView['end'][] = [
    { kind: 'passed' },
    { kind: 'failed', step: 's', text: 't' },
    { kind: 'timed-out', step: 's', text: 't' },
    { kind: 'infra', cause: 'internal', evidence: 'e' },
    { kind: 'cancelled', by: 'b', why: 'w' },
    { kind: 'skipped', why: 'w' },
  ];
  const builds = [
    ...ends.map((end) => testBuild({ end })),
    ...(['running', 'cancelling', 'queued'] as const).map((state) => testBuild({ state, end: undefined })),
  ];
  const grid = { ...testGrid({ rows: 1 }), builders: builds.map((_, at) => `b${at}`), rows: [{ commit: testCommit(), cells: builds }] };
  const page = String(await gridPage({ grid, farm: testFarm(), now: testNow }));
  const cells = [...page.matchAll(/<a class="cell [^]*?<\/a>/g)].map(([cell]) => cell);
  assert.equal(cells.length, looks.length);
  for (const [at, look] of looks.entries()) {
    assert.ok(cells[at]?.includes(`href="#g-${look}"`), look);
    assert.ok(cells[at]?.includes(`<span class="unseen">${word(look)} </span>`), look);
  }
});

test('a running cell shows how far it is by what was expected', async () => {
  const running = testBuild({
    state: 'running',
    end: undefined,
    endedAt: undefined,
    startedAt: testNow - 30_000,
    expectedEndAt: testNow + 10_000,
  });
  const page = String(
    await gridPage({
      grid: { ...testGrid({ rows: 1, builders: ['b'] }), rows: [{ commit: testCommit(), cells: [running] }] },
      farm: testFarm(),
      now: testNow,
    }),
  );
  assert.match(page, /<progress max="100" value="75"/);
  assert.match(page, /data-since="\d+">30 s/);
});

test('many builders make a dense grid', async () => {
  const builders = Array.from({ length: 40 }, (_, at) => `builder-${at}`);
  assert.match(String(await gridPage({ grid: testGrid({ builders, rows: 1 }), farm: testFarm(), now: testNow })), /class="grid dense"/);
});

test('thirty commits by a hundred builders render within 100 ms', async () => {
  const grid = testGrid({ builders: Array.from({ length: 100 }, (_, at) => `builder-${at}`) });
  const farm = testFarm();
  const times: number[] = [];
  for (let times_ = 0; times_ < 5; times_ += 1) {
    const start = process.hrtime.bigint();
    assert.ok(String(await gridPage({ grid, farm, now: testNow })).length > 100_000);
    times.push(Number(process.hrtime.bigint() - start) / 1e6);
  }
  assert.ok(Math.min(...times) < 100, `${times.map(Math.round).join(', ')} ms`);
});

test('the first run explains the next step', async () => {
  const page = String(await gridPage({ grid: { ...testGrid({ rows: 0, builders: [] }), repos: [] }, farm: testFarm(), now: testNow }));
  assert.match(page, /npm start -- --repo PATH_OR_URL/);
});

test('a repository without commits says when it was looked at', async () => {
  const page = String(await gridPage({ grid: testGrid({ rows: 0, builders: [] }), farm: testFarm(), now: testNow }));
  assert.match(page, /The farm looked .*12 s ago.* and found none/s);
});

test('a hold and a failed fetch are said above the grid', async () => {
  const farm = testFarm({ hold: 'the disk is low: 1.1 GiB free', repos: [{ name: 'croft', url: '/x', error: 'no such directory' }] });
  const page = String(await gridPage({ grid: testGrid(), farm, now: testNow }));
  assert.match(page, /On hold.*the disk is low: 1.1 GiB free/s);
  assert.match(page, /no such directory/);
});

test('a waiting build says why, its place and its expected start', async () => {
  const build = testDetail({
    state: 'queued',
    end: undefined,
    attempts: 0,
    attemptList: [],
    since: testNow - 5_000,
    wait: { code: 'behind', text: '3 ahead; 2 of 2 arm64 machines busy', position: 3, expectedAt: testNow + 180_000 },
  });
  const page = String(await buildPage(view(build)));
  assert.match(page, /3 ahead; 2 of 2 arm64 machines busy/);
  assert.match(page, /place 4 .*expected to start.*in 3 min/s);
});

test('every attempt shows its end with cause and evidence', async () => {
  const attemptList = [
    testAttempt({ number: 1, end: { kind: 'infra', cause: 'machine-lost', evidence: 'silent for 15 s' } }),
    testAttempt({ number: 2, end: { kind: 'infra', cause: 'buildlet-died', evidence: 'pid 4711 is gone' } }),
    testAttempt({ number: 3 }),
  ];
  const page = String(await buildPage(view(testDetail({ attempts: 3, attemptList }))));
  for (const text of ['machine-lost', 'silent for 15 s', 'buildlet-died', 'pid 4711 is gone', 'Attempt 3'])
    assert.ok(page.includes(text), text);
});

test('who may not act is offered nothing to press', async () => {
  const page = String(await buildPage(view(testDetail(), { who: { name: 'guest', may: () => false } })));
  assert.doesNotMatch(page, /method="post"/);
});

test('an ended build can be retried, one under way cancelled, its machine kept and one like it borrowed; one being cancelled none of these', async () => {
  const forms = async (over: Partial<BuildDetail>): Promise<string[]> =>
    [...String(await buildPage(view(testDetail(over)))).matchAll(/method="post" action="\/builds\/B0123456789abcdef\/([^"]+)"/g)].map(
      ([, action]) => action ?? '',
    );
  assert.deepEqual(await forms({}), ['retry', 'hold', 'repro']);
  assert.deepEqual(await forms({ state: 'running', end: undefined }), ['cancel', 'hold']);
  assert.deepEqual(await forms({ state: 'cancelling', end: undefined }), []);
});

test('an expired log says so and links nowhere', async () => {
  const attempt = testAttempt({ log: { state: 'expired', bytes: 0, url: '/gone' } });
  const page = String(await buildPage(view(testDetail({ attemptList: [attempt] }))));
  assert.match(page, /This log was removed/);
  assert.doesNotMatch(page, /\/gone/);
});

test('the farm page tells each mistake of a refused configuration with its line, and what waits for the next start', async () => {
  const mistake = { file: '/etc/croft.yaml', line: 12, setting: 'builders.0.repo', message: 'there is no repository "ap"', nearest: 'app' };
  const problem = { at: testNow - 60_000, count: 3, mistakes: [mistake, { file: hostile, message: hostile }] };
  const config = { environment: 'local', loadedAt: testNow - 3_600_000, restart: ['port', 'tls'], problem } as const;
  const page = String(await shownFarm(testFarm({ config: { ...config, restart: [...config.restart] } })));
  assert.match(page, /has 3 mistakes/);
  assert.match(page, /\/etc\/croft\.yaml:12.*builders\.0\.repo.*there is no repository &quot;ap&quot;.*did you mean <b>.*app/);
  assert.match(page, /1 more mistake</);
  assert.match(page, /from the next start on: .*port, tls/);
  assert.equal(page.includes('<script>alert'), false);
});

test('a failure of a builder with known issues is shown as known, and leads to them', async () => {
  const failed = testBuild({ end: { kind: 'failed', step: 'test', text: 'exit status 1' }, knownIssues: ['https://example.com/issues/7'] });
  const grid = testGrid({ builders: ['unit'], rows: 1 });
  const rows = grid.rows.map((row) => ({ ...row, cells: [failed] }));
  const page = String(await gridPage({ grid: { ...grid, rows }, farm: testFarm(), now: testNow }));
  assert.match(page, /class="cell failed muted".*failed, a known issue/);
  assert.match(page, /known: https:\/\/example\.com\/issues\/7/);
  assert.match(String(await buildPage(view(testDetail({ ...failed })))), /known to fail: <a href="https:\/\/example\.com\/issues\/7"/);
});

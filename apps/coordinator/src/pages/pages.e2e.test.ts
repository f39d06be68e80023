import { after, before, test } from 'node:test';
import assert from 'node:assert/strict';
import type { BuildDetail } from '@croft/protocol/api';
import { systemClock } from '@croft/runtime/clock';
import { accessibilityFaults, missingBrowser, openBrowser, pressKeys, type Browser, type Page } from '@croft/web/html/testing';
import type { Listener } from '@croft/web/listener';
import { fakeFarm, growingLog, syntheticLog } from './testing.ts';
import { serveTestApp } from './testing-server.ts';
import { fillShelf } from './testing-shelf.ts';
import { hostile, testAttempt, testBuild, testDetail, testGrid, testNow, testStep } from './testing-views.ts';

const skip = missingBrowser(process.env);
const farm = fakeFarm();
let server: Listener;
let browser: Browser;

before(async () => {
  if (skip) return;
  fillShelf(farm, `${hostile} ${'long'.repeat(40)}`);
  server = await serveTestApp(farm);
  browser = await openBrowser();
});

after(async () => {
  await browser?.close();
  await server?.[Symbol.asyncDispose]();
});

interface Look {
  readonly theme?: 'dark' | 'light';
  readonly width?: number;
  readonly scripts?: boolean;
}

/** A page in a context of its own; anything that the browser complains of fails the test. */
async function withPage(path: string, look: Look, story: (page: Page) => Promise<void>): Promise<void> {
  const { theme = 'light', width = 1200, scripts = true } = look;
  const context = await browser.newContext({
    baseURL: server.url,
    viewport: { width, height: 800 },
    colorScheme: theme,
    javaScriptEnabled: scripts,
    reducedMotion: 'reduce',
  });
  const complaints: string[] = [];
  try {
    const page = await context.newPage();
    page.setDefaultTimeout(60_000);
    page.on('pageerror', (error) => complaints.push(error.message));
    page.on('console', (message) => message.type() === 'error' && complaints.push(message.text()));
    await page.goto(path);
    await story(page);
    assert.deepEqual(complaints, []);
  } finally {
    await context.close();
  }
}

let builds = 0;

/** A build of one attempt, and its log. */
function addBuild(log: Parameters<typeof farm.state.logs.set>[1], over: Partial<BuildDetail> = {}): string {
  builds += 1;
  const id = `B${builds.toString(16).padStart(16, '0')}`;
  const url = `/builds/${id}`;
  const attempt = testAttempt({ log: { state: log.live ? 'live' : 'complete', bytes: log.length, url: `${url}/attempts/1/log` } });
  farm.state.builds.set(id, testDetail({ id, url, attemptList: [attempt], ...over }));
  farm.state.logs.set(`${id}.1`, log);
  return id;
}

function runningBuild(log: Parameters<typeof farm.state.logs.set>[1]): string {
  const id = addBuild(log);
  const { end: _end, endedAt: _endedAt, ...build } = farm.state.builds.get(id) as BuildDetail;
  const [{ end: _ended, endedAt: _at, ...attempt } = testAttempt()] = build.attemptList;
  const { endedAt: _stepEnd, exit: _exit, logTo: _logTo, ...step } = testStep({ state: 'running', logFrom: 0 });
  farm.state.builds.set(id, {
    ...build,
    state: 'running',
    startedAt: testNow - 10_000,
    expectedEndAt: testNow + 20_000,
    attemptList: [{ ...attempt, state: 'running', steps: [step] }],
  });
  return id;
}

const row = (line: number): string => `#L${line} > span`;

const views: Readonly<Record<string, () => string>> = {
  grid: () => '/',
  'a running build': () =>
    `/builds/${runningBuild(growingLog(Array.from({ length: 40 }, (_, at) => `\u001b[3${at % 8}mcolour\u001b[0m \u001b[38;5;${16 + at * 5}mpalette\u001b[0m \u001b[4${at % 8}mback\u001b[0m ${hostile}${'x'.repeat(300)}\n`).join('')))}`,
  'a failed build': () =>
    `/builds/${addBuild(syntheticLog(100), { builder: 'x'.repeat(100), end: { kind: 'failed', step: 'test', text: 'y'.repeat(300) } })}`,
  farm: () => '/farm',
  ...Object.fromEntries(
    [
      '/repos',
      '/repos/croft',
      `/repos/croft/commits/${testBuild().revision}`,
      '/builders',
      '/builders/linux-amd64',
      '/search?q=x',
      '/audit',
      '/config',
    ].map((path) => [path, () => path]),
  ),
  'what happened in one': () => `/builds/${testBuild().id}/events`,
  'a farm that is new': () => '/?page=0&new',
  'sign-in': () => '/signin',
};

for (const [name, pathOf] of Object.entries(views)) {
  test(`axe finds nothing serious and nothing scrolls sideways in both themes and widths: ${name}`, { skip }, async () => {
    const builders = ['checks', 'linux-amd64-race', 'a-builder-with-a-very-long-name-indeed', 'windows'];
    farm.state.grid =
      name === 'a farm that is new' ? { ...testGrid({ rows: 0, builders: [] }), repos: [] } : testGrid({ builders, rows: 12 });
    await withPage(pathOf(), {}, async (page) => {
      if (name.endsWith('build')) await page.locator('.row').first().waitFor();
      for (const theme of ['light', 'dark'] as const) {
        for (const width of [400, 1200]) {
          await page.emulateMedia({ colorScheme: theme, reducedMotion: 'reduce' });
          await page.setViewportSize({ width, height: 800 });
          assert.deepEqual(await accessibilityFaults(page), [], `${theme}, ${width} px`);
          assert.ok(await page.evaluate(() => document.documentElement.scrollWidth <= innerWidth), `scrolls sideways at ${width} px`);
        }
      }
    });
  });
}

test('hostile text runs nothing, on the page and in the log', { skip }, async () => {
  const id = addBuild(growingLog(`${hostile}\n`), { builder: hostile, end: { kind: 'failed', step: hostile, text: hostile } });
  await withPage(`/builds/${id}`, {}, async (page) => {
    await page.locator(row(1)).filter({ hasText: '<script>' }).waitFor();
    assert.equal(await page.evaluate(() => (globalThis as { hacked?: number }).hacked), undefined);
    assert.equal(await page.locator('#main img, #main script').count(), 0);
  });
});

test('without scripts the log’s end is readable and a build can be cancelled', { skip }, async () => {
  const id = runningBuild(growingLog('the last words\n'));
  await withPage(`/builds/${id}`, { scripts: false }, async (page) => {
    await page.getByText('the last words').waitFor();
    await page.locator('#act-cancel summary').click();
    await page.getByLabel('Why?').fill('superseded');
    await page.getByRole('button', { name: 'Cancel this build' }).click();
    await page.locator('h1', { hasText: 'being cancelled' }).waitFor();
    assert.ok(farm.asked.includes(`cancel ${id} someone: superseded`));
  });
});

test('what is written appears within 100 ms, and the end is followed', { skip }, async () => {
  const log = growingLog('');
  const id = runningBuild(log);
  await withPage(`/builds/${id}`, {}, async (page) => {
    log.write('first\n');
    await page.locator(row(1)).waitFor();
    const delays: number[] = [];
    for (let line = 2; line <= 6; line += 1) {
      const shown = page.evaluate(
        (selector) =>
          new Promise<void>((resolve) => {
            const observer = new MutationObserver(() => document.querySelector(selector) && (observer.disconnect(), resolve()));
            observer.observe(document.body, { childList: true, subtree: true });
            document.body.dataset['watching'] = selector;
          }),
        row(line),
      );
      await page.waitForFunction((selector) => document.body.dataset['watching'] === selector, row(line));
      const written = systemClock.now();
      log.write(`line ${line}\n`);
      await shown;
      delays.push(systemClock.now() - written);
    }
    assert.ok(Math.min(...delays) <= 100, `${delays.join(', ')} ms`);
    log.write(Array.from({ length: 2000 }, (_, at) => `more ${at}\n`).join(''));
    await page.locator(row(2006)).waitFor();
    assert.ok(await page.locator(row(2006)).isVisible());
    assert.ok((await page.locator('.row').count()) <= 8 * 256);
    log.end();
    await page.getByText('The log is complete.').waitFor();
  });
});

test('progress bars and colours are shown as a terminal would', { skip }, async () => {
  const log = growingLog('10 %\r\u001b[K50 %\r\u001b[K');
  const id = runningBuild(log);
  await withPage(`/builds/${id}`, {}, async (page) => {
    log.write('100 % \u001b[1;31mdone\u001b[0m\n');
    await page
      .locator(row(1))
      .filter({ hasText: /^100 % done$/ })
      .waitFor();
    assert.equal(await page.locator(`${row(1)} .fg1.bold`).textContent(), 'done');
  });
});

/** Roughly. */
async function waitForLine(page: Page, line: number): Promise<void> {
  await page.waitForFunction((wanted) => {
    const shown = document
      .elementFromPoint(400, innerHeight - 60)
      ?.closest('.row')
      ?.id.slice(1);
    return Math.abs(Number(shown) - wanted) < 200_000;
  }, line);
}

test('a gigabyte: any place by range, few rows, exact line numbers', { skip }, async () => {
  const id = addBuild(syntheticLog(16_777_216));
  await withPage(`/builds/${id}`, {}, async (page) => {
    let bytes = 0;
    page.on('response', (response) => (bytes += Number(response.headers()['content-length'] ?? 0)));
    await page.locator(row(1)).waitFor();
    await page.getByLabel('Line number').fill('12345678');
    await page.getByRole('button', { name: 'Go' }).click();
    await page.locator(row(12_345_678)).filter({ hasText: 'ok 12345678 the quick' }).waitFor();
    assert.match(page.url(), /attempt=1#L12345678$/);
    const box = page.locator('.rows');
    await box.evaluate((element) => (element.scrollTop = element.scrollHeight));
    await page.locator(row(16_777_216)).waitFor();
    await box.evaluate((element) => (element.scrollTop = element.scrollHeight / 2));
    await waitForLine(page, 8_388_608);
    await box.evaluate((element) => (element.scrollTop = 0));
    await page.locator(row(1)).waitFor();
    for (let block = 1; block <= 12; block += 1) await page.locator(`#L${block * 256}`).evaluate((element) => element.scrollIntoView());
    await page.locator('#L3300').waitFor();
    assert.ok((await page.locator('.row').count()) <= 8 * 256);
    assert.ok(bytes < 20_000_000, `${bytes} bytes were read`);
  });
});

test('who scrolls on while lines are loaded is not brought back', { skip }, async () => {
  const id = addBuild(syntheticLog(16_777_216));
  await withPage(`/builds/${id}`, {}, async (page) => {
    await page.locator(row(1)).waitFor();
    const goOn = Promise.withResolvers<void>();
    await page.route('**', async (route) => {
      if (route.request().headers()['range'] !== undefined) await goOn.promise;
      await route.continue();
    });
    const box = page.locator('.rows');
    const asked = page.waitForRequest((request) => request.headers()['range'] !== undefined);
    await box.evaluate((element) => (element.scrollTop = element.scrollHeight / 2));
    await asked;
    await box.evaluate((element) => (element.scrollTop = (element.scrollHeight / 4) * 3));
    goOn.resolve();
    await waitForLine(page, 12_582_912);
  });
});

test('a link to a line leads there', { skip }, async () => {
  const id = addBuild(syntheticLog(5_000));
  await withPage(`/builds/${id}?attempt=1#L3210`, {}, async (page) => {
    await page.locator('.row.chosen', { hasText: 'ok 3210' }).waitFor();
    assert.ok(await page.locator(row(3210)).isVisible());
  });
});

test('finding goes through the whole log, and marks what it finds', { skip }, async () => {
  const id = addBuild(syntheticLog(50_000));
  await withPage(`/builds/${id}`, {}, async (page) => {
    await page.locator(row(1)).waitFor();
    await pressKeys(page, '/');
    await page.keyboard.type('ERROR: line 30000 ');
    await page.keyboard.press('Enter');
    await page.locator('.row.chosen', { hasText: 'line 30000' }).waitFor();
    assert.equal(await page.evaluate(() => CSS.highlights.get('found')?.size), 1);
  });
});

test('a failed build opens at its first error', { skip }, async () => {
  const id = addBuild(syntheticLog(5_000), { end: { kind: 'failed', step: 'test', text: 'exit status 1' } });
  const build = farm.state.builds.get(id) as BuildDetail;
  const attempt = {
    ...testAttempt(),
    ...build.attemptList[0],
    steps: [testStep({ exit: { kind: 'exited', code: 1 }, logFrom: 64 * 1500 })],
  };
  farm.state.builds.set(id, { ...build, attemptList: [attempt] });
  await withPage(`/builds/${id}`, {}, async (page) => {
    await page.locator('.row.chosen', { hasText: 'error: line 2000' }).waitFor();
  });
});

test('a build is watched, cancelled and retried by keyboard alone, and what is typed outlives a renewal', { skip }, async () => {
  const log = growingLog('working\n');
  const id = runningBuild(log);
  farm.state.grid = testGrid({ rows: 3 });
  const first = farm.state.grid.rows[0];
  if (first) first.cells[0] = farm.state.builds.get(id) ?? null;
  await withPage('/', {}, async (page) => {
    await page.keyboard.press('j');
    assert.equal(await page.evaluate(() => document.activeElement?.id), `c-${id}`);
    await page.keyboard.press('Enter');
    await page.locator(row(1)).filter({ hasText: 'working' }).waitFor();
    await page.keyboard.press('c');
    await page.keyboard.press('Tab');
    await page.keyboard.type('wrong ');
    const renewed = page.waitForResponse((response) => response.request().headers()['hx-request'] === 'true');
    farm.tell({ kind: 'build', id });
    await (await renewed).finished();
    await page.keyboard.type('branch');
    await page.keyboard.press('Enter');
    await page.locator('h1', { hasText: 'being cancelled' }).waitFor();
    log.end();
    farm.state.builds.set(id, {
      ...(farm.state.builds.get(id) as BuildDetail),
      state: 'ended',
      end: { kind: 'cancelled', by: 'someone', why: 'wrong branch' },
    });
    farm.tell({ kind: 'build', id });
    await page.getByText('Cancelled by').first().waitFor();
    assert.match(await page.title(), /^cancelled:/);
    await page.keyboard.press('r');
    await page.keyboard.press('Tab');
    await page.keyboard.press('Enter');
    await page.locator('h1', { hasText: 'waiting' }).waitFor();
    assert.deepEqual(farm.asked.slice(-2), [`cancel ${id} someone: wrong branch`, `retry ${id} someone`]);
    await page.keyboard.press('?');
    await page.getByRole('dialog').getByText('find in the log').waitFor();
    await page.keyboard.press('Escape');
    await pressKeys(page, 'g', 'f');
    await page.waitForURL('**/farm');
  });
});

test('every action of the build page is reached with Tab', { skip }, async () => {
  const id = runningBuild(growingLog('working\n'));
  await withPage(`/builds/${id}`, {}, async (page) => {
    await page.locator(row(1)).waitFor();
    const reached: string[] = [];
    for (let presses = 0; presses < 32; presses += 1) {
      await page.keyboard.press('Tab');
      reached.push(
        await page.evaluate(
          () =>
            document.activeElement?.getAttribute('name') ??
            document.activeElement?.getAttribute('aria-label') ??
            document.activeElement?.textContent?.trim() ??
            '',
        ),
      );
    }
    for (const name of [
      'Skip to content',
      'Builds',
      'Farm',
      'Keyboard shortcuts',
      'Cancel…',
      'follow',
      'wrap',
      'error',
      'find',
      'line',
      'Copy link',
      'Raw',
      'Log text',
    ]) {
      assert.ok(reached.includes(name), `${name} is not among ${reached.join(', ')}`);
    }
  });
});

test('the grid renews itself at most once a second and keeps focus and scroll position', { skip }, async () => {
  farm.state.grid = testGrid();
  await withPage('/', { width: 500 }, async (page) => {
    let asked = 0;
    page.on('request', (request) => (asked += request.headers()['hx-request'] ? 1 : 0));
    await page.locator('#grid-box').evaluate((box) => box.scrollTo(120, 300));
    const cell = page.locator('tbody tr:nth-child(9) a.cell').nth(1);
    const id = await cell.getAttribute('id');
    await cell.focus();
    const scrolled = await page.locator('#grid-box').evaluate((box) => [box.scrollLeft, box.scrollTop]);
    const build = farm.state.grid.rows[8]?.cells[1];
    const changed = farm.state.grid.rows[8];
    if (changed && build) changed.cells[1] = { ...build, end: { kind: 'failed', step: 'test', text: 'exit status 9' } };
    for (let times = 0; times < 50; times += 1) farm.tell({ kind: 'build', id: build?.id ?? '' });
    await page.locator(`#${id}.failed[title*="exit status 9"]`).waitFor();
    assert.ok(asked <= 2, `${asked} requests`);
    assert.equal(await page.evaluate(() => document.activeElement?.id), id);
    assert.deepEqual(await page.locator('#grid-box').evaluate((box) => [box.scrollLeft, box.scrollTop]), scrolled);
  });
});

test('what changed between the rendering of a page and its listening is shown', { skip }, async () => {
  const id = runningBuild(growingLog('working\n'));
  await withPage(`/builds/${id}`, {}, async (page) => {
    const { promise: changed, resolve: listen } = Promise.withResolvers<void>();
    await page.route('**/api/v1/events', async (route) => {
      await changed;
      await route.continue();
    });
    await page.reload();
    farm.state.builds.set(id, { ...(farm.state.builds.get(id) as BuildDetail), state: 'ended', end: { kind: 'passed' } });
    listen();
    await page.locator('h1', { hasText: 'passed' }).waitFor();
  });
});

test('a retry by somebody else brings the new attempt’s log', { skip }, async () => {
  const id = addBuild(growingLog('old log\n'));
  await withPage(`/builds/${id}`, {}, async (page) => {
    await page.locator(row(1)).filter({ hasText: 'old log' }).waitFor();
    farm.state.logs.set(`${id}.2`, growingLog('new log\n'));
    const build = farm.state.builds.get(id) as BuildDetail;
    const { end: _end, endedAt: _at, ...again } = testAttempt({ number: 2 });
    farm.state.builds.set(id, {
      ...build,
      state: 'running',
      attempts: 2,
      attemptList: [
        ...build.attemptList,
        { ...again, state: 'running', log: { state: 'live', bytes: 0, url: `/builds/${id}/attempts/2/log` } },
      ],
    });
    farm.tell({ kind: 'build', id });
    await page.locator(row(1)).filter({ hasText: 'new log' }).waitFor();
  });
});

test('the theme is remembered', { skip }, async () => {
  await withPage('/', { theme: 'light' }, async (page) => {
    const background = (): Promise<string> => page.evaluate(() => getComputedStyle(document.body).backgroundColor);
    const light = await background();
    await page.getByRole('button', { name: 'Theme: auto' }).click();
    const dark = await background();
    assert.notEqual(dark, light);
    await page.reload();
    assert.equal(await background(), dark);
    assert.equal(await page.locator('html').getAttribute('data-theme'), 'dark');
  });
});

test('the first column and the head stay while the grid scrolls in its box', { skip }, async () => {
  farm.state.grid = testGrid();
  await withPage('/', { width: 400 }, async (page) => {
    await page.locator('#grid-box').evaluate((box) => box.scrollTo(300, 400));
    const inBox = await page.evaluate(() => {
      const box = document.querySelector('#grid-box')?.getBoundingClientRect();
      const head = document.querySelector('thead th.commit')?.getBoundingClientRect();
      const first = document.querySelector('tbody tr:nth-child(20) th')?.getBoundingClientRect();
      return box && head && first && Math.abs(head.top - box.top) < 3 && Math.abs(first.left - box.left) < 3;
    });
    assert.ok(inBox);
  });
});

test('a search by the keyboard alone: / to the box, words, Enter, and what was found is read on', { skip }, async () => {
  await withPage('/repos', {}, async (page) => {
    await pressKeys(page, '/');
    assert.equal(await page.evaluate(() => document.activeElement?.getAttribute('name')), 'q');
    await page.keyboard.type('grid / keys');
    await page.keyboard.press('Enter');
    await page.getByRole('heading', { name: 'Found for grid / keys' }).waitFor();
    assert.equal(await page.locator('input[name=q]').inputValue(), 'grid / keys');
    await pressKeys(page, 'g', 'u');
    await page.waitForURL('**/builders');
  });
});

test('the builders’ page follows what happens', { skip }, async () => {
  await withPage('/builders', {}, async (page) => {
    const [builder] = farm.browse.shelf.builders;
    assert.ok(builder);
    await page.getByText('50 %').waitFor();
    farm.browse.shelf.builders = [{ ...builder, rate: { passed: 3, failed: 1, infra: 0 } }];
    farm.tell({ kind: 'farm' });
    await page.getByText('75 %').waitFor();
  });
});

/** Borrowed machines in a real browser, with a real shell on a real buildlet behind the terminal. */
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { mkdir, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { gunzipSync } from 'node:zlib';
import { accessibilityFaults, missingBrowser, openBrowser, type Browser, type Page } from '@croft/web/html/testing';
import { fakeSession } from '../sessions/testing.ts';
import { testKey, testSessions } from './testing-borrowing.ts';
import { openTerminalStage, type TerminalStage } from './testing-terminals.ts';
import { hostile, testDetail, testNow } from './testing-views.ts';

const skip = missingBrowser(process.env);
const session = '/sessions/S0000000000000000';
let stage: TerminalStage;
let browser: Browser;

before(async () => {
  if (skip) return;
  stage = await openTerminalStage();
  for (const one of testSessions('someone', `${hostile} ${'long'.repeat(40)}`)) stage.farm.sessions.put(one);
  stage.farm.borrowing.keys.push(testKey({ name: hostile }));
  browser = await openBrowser();
});

after(async () => {
  await browser?.close();
  await stage?.[Symbol.asyncDispose]();
});

interface Look {
  readonly scripts?: boolean;
  /** Complaints of the browser that are no fault. */
  readonly expects?: RegExp;
}

/** A page in a context of its own; anything that the browser complains of fails the test. */
async function withPage(path: string, { scripts = true, expects }: Look, story: (page: Page) => Promise<void>): Promise<void> {
  const context = await browser.newContext({
    baseURL: stage.url,
    viewport: { width: 1200, height: 800 },
    javaScriptEnabled: scripts,
    reducedMotion: 'reduce',
  });
  const complaints: string[] = [];
  const complain = (text: string): void => void (expects?.test(text) || complaints.push(text));
  try {
    const page = await context.newPage();
    page.setDefaultTimeout(60_000);
    page.on('pageerror', (error) => complain(error.message));
    page.on('console', (message) => message.type() === 'error' && complain(message.text()));
    await page.goto(path);
    await story(page);
    assert.deepEqual(complaints, []);
  } finally {
    await context.close();
  }
}

/** A shell of this page's own, with its prompt. */
async function openShell(page: Page): Promise<void> {
  await page.getByRole('button', { name: 'New shell' }).click();
  await page.locator('[data-part=state]', { hasText: /^connected$/ }).waitFor();
  await page.locator('.xterm-rows', { hasText: '$' }).waitFor();
}

async function type(page: Page, text: string): Promise<void> {
  await page.locator('.xterm-helper-textarea').focus();
  await page.keyboard.type(text);
}

const shows = (page: Page, text: string | RegExp): Promise<void> => page.locator('.xterm-rows', { hasText: text }).waitFor();

for (const path of ['/sessions', '/sessions?show=ended', session, '/sessions/S0000000000000001', '/account'])
  test(`axe finds nothing serious and nothing scrolls sideways in both themes and widths: ${path}`, { skip }, async () => {
    await withPage(path, {}, async (page) => {
      if (path === session) await openShell(page);
      for (const colorScheme of ['light', 'dark'] as const) {
        for (const width of [400, 1280]) {
          await page.emulateMedia({ colorScheme, reducedMotion: 'reduce' });
          await page.setViewportSize({ width, height: 800 });
          assert.deepEqual(await accessibilityFaults(page), [], `${colorScheme}, ${width} px`);
          assert.ok(await page.evaluate(() => document.documentElement.scrollWidth <= innerWidth), `scrolls sideways at ${width} px`);
        }
      }
    });
  });

test('what is typed is carried out, the shell follows the window, and its colours the theme', { skip }, async () => {
  await withPage(session, {}, async (page) => {
    await openShell(page);
    await type(page, 'stty size; printf "\\033[31mr%sd\\033[m\\n" e\n');
    await shows(page, 'red');
    const before = await page.locator('.xterm-rows').textContent();
    await page.setViewportSize({ width: 700, height: 500 });
    await type(page, 'stty size; echo narr"ow"\n');
    await shows(page, 'narrow');
    const sizes = [...`${await page.locator('.xterm-rows').textContent()}`.matchAll(/(\d{2,3}) (\d{2,3})/g)].map(([, , cols]) =>
      Number(cols),
    );
    assert.ok((sizes.at(-1) ?? 0) < (sizes[0] ?? 0), `${before} ${sizes.join()}`);
    const colour = (): Promise<string> =>
      page
        .locator('.xterm-fg-1')
        .first()
        .evaluate((cell) => getComputedStyle(cell).color);
    const light = await colour();
    await page.getByRole('button', { name: /^Theme/ }).click();
    assert.notEqual(await colour(), light);
  });
});

test('every row of a full screen is seen whole, and inverse text is as plain as the rest', { skip }, async () => {
  await withPage(session, {}, async (page) => {
    await openShell(page);
    await type(page, 'seq 200; printf "\\033[7min%sse\\033[m\\n" ver\n');
    await shows(page, 'inverse');
    const boxOf = (part: string): Promise<{ y: number; height: number }> =>
      page.locator(part).evaluate((element) => element.getBoundingClientRect().toJSON() as { y: number; height: number });
    const [frame, first, last] = [
      await boxOf('[data-part=screen]'),
      await boxOf('.xterm-rows > :first-child'),
      await boxOf('.xterm-rows > :last-child'),
    ];
    const [above, below] = [first.y - frame.y, frame.y + frame.height - (last.y + last.height)];
    assert.ok(above > 4 && above < 12 && below > 4, `${above} px above, ${below} px below`);
    const colours = await page
      .locator('.xterm-bg-257')
      .evaluate((cell) => [getComputedStyle(cell).color, getComputedStyle(cell).backgroundColor]);
    const plain = await page
      .locator('.xterm')
      .evaluate((one) => [
        getComputedStyle(one.closest('[data-part=screen]') as Element).backgroundColor,
        getComputedStyle(document.body).color,
      ]);
    assert.deepEqual(colours, plain);
  });
});

test(
  'a server that goes away and comes back shows what was missed, and what was typed meanwhile is carried out once',
  { skip },
  async () => {
    await withPage(session, { expects: /WebSocket|Failed to (load|fetch)|ERR_/ }, async (page) => {
      await openShell(page);
      const gate = join(stage.machine.workDir, 'gate');
      await type(page, `until test -e ${gate}; do sleep 0.05; done; echo mis"sed"\n`);
      await shows(page, 'gate');
      const restarted = stage.restart();
      await page.locator('[data-part=state]', { hasText: 'connection lost' }).waitFor();
      await type(page, 'echo on"ce"\n');
      await writeFile(gate, '');
      await restarted;
      await shows(page, 'once');
      const text = (await page.locator('.xterm-rows').textContent()) ?? '';
      assert.equal(text.match(/missed/g)?.length, 1, text);
      assert.equal(text.match(/once/g)?.length, 1, text);
      await page.locator('[data-part=state]', { hasText: /^connected$/ }).waitFor();
    });
  },
);

test('a page that is loaded again shows the same shell, and another one may show it, too', { skip }, async () => {
  await withPage(session, {}, async (page) => {
    await openShell(page);
    await type(page, 'x=kept; echo re"ady"\n');
    await shows(page, 'ready');
    await page.reload();
    await shows(page, 'ready');
    await type(page, 'echo $x-again\n');
    await shows(page, 'kept-again');
    const run = await page.locator('#session-runs a[data-attach]').first().getAttribute('data-attach');
    await withPage(`${session}?run=${run}`, {}, async (other) => {
      await shows(other, 'kept-again');
      await type(other, 'echo from-the-oth"er"\n');
      await shows(page, 'from-the-other');
    });
  });
});

test('the keyboard alone reaches the terminal, leaves it, ends the shell, and a screen reader is read to', { skip }, async () => {
  await withPage(session, {}, async (page) => {
    await openShell(page);
    const focused = (): Promise<string> =>
      page.evaluate(() => document.activeElement?.getAttribute('data-part') ?? document.activeElement?.className ?? '');
    await page.locator('[data-part=aloud]').focus();
    await page.keyboard.press('Space');
    for (const _ of ['new', 'close', 'past', 'terminal']) await page.keyboard.press('Tab');
    assert.match(await focused(), /xterm-helper-textarea/);
    await page.keyboard.type('echo spo"ken"\n');
    await page.locator('.xterm-accessibility', { hasText: 'spoken' }).waitFor({ state: 'attached' });
    await page.keyboard.press('Tab');
    assert.match(await focused(), /xterm-helper-textarea/, 'Tab belongs to the shell');
    const described = (): Promise<string> =>
      page.evaluate(() => document.getElementById(document.activeElement?.getAttribute('aria-describedby') ?? '')?.textContent ?? '');
    assert.match(await described(), /^Shift\+F6 leaves the terminal/, 'who enters it is told how to leave');
    await page.keyboard.press('Shift+F6');
    assert.equal(await focused(), 'past');
    await page.keyboard.press('Enter');
    await page.keyboard.press('Tab');
    assert.equal(await page.evaluate(() => document.activeElement?.closest('#session-runs') !== null), true, 'onwards, past the terminal');
    await page.locator('.xterm-helper-textarea').focus();
    await page.keyboard.press('Shift+F6');
    await page.keyboard.press('Shift+Tab');
    assert.equal(await focused(), 'close');
    await page.keyboard.press('Enter');
    await page.locator('[data-part=state]', { hasText: /^ended/ }).waitFor();
  });
});

test(
  'files are sent with their progress, by choosing and by dropping, browsed and fetched, alone and as an archive',
  { skip },
  async () => {
    const bytes = Buffer.alloc(5_000_000, 'croft ');
    const digest = (content: Uint8Array): string => createHash('sha256').update(content).digest('hex');
    await mkdir(join(stage.machine.workDir, 'sub dir'), { recursive: true });
    await withPage(`${session}?dir=${encodeURIComponent('sub dir')}`, {}, async (page) => {
      await page.getByLabel('Files to put here').setInputFiles({ name: 'big & näme.bin', mimeType: 'text/plain', buffer: bytes });
      await page.getByRole('button', { name: 'Upload' }).click();
      await page.getByRole('link', { name: 'big & näme.bin' }).waitFor();
      assert.equal(digest(await readFile(join(stage.machine.workDir, 'sub dir', 'big & näme.bin'))), digest(bytes));
      const dropped = await page.evaluateHandle(() => {
        const data = new DataTransfer();
        data.items.add(new File(['dropped'], 'dropped.txt'));
        return data;
      });
      await page.dispatchEvent('#files table', 'drop', { dataTransfer: dropped });
      await page.getByRole('link', { name: 'dropped.txt' }).waitFor();
      const fetched = async (name: string): Promise<Buffer> => {
        const [download] = await Promise.all([page.waitForEvent('download'), page.getByRole('link', { name }).click()]);
        return readFile(await download.path());
      };
      assert.equal(digest(await fetched('big & näme.bin')), digest(bytes));
      const archive = gunzipSync(await fetched('This directory as tar.gz'));
      assert.ok(archive.includes('dropped.txt') && archive.length > bytes.length);
      await page.getByRole('link', { name: 'work directory' }).click();
      await page.getByRole('link', { name: 'sub dir/' }).click();
      await page.getByRole('link', { name: 'dropped.txt' }).waitFor();
    });
  },
);

test('a file that was not sent is told with the reason, below what was, and can be sent again', { skip }, async () => {
  await mkdir(join(stage.machine.workDir, 'taken.txt'));
  const file = { name: 'before.txt', mimeType: 'text/plain', buffer: Buffer.from('sent') };
  await withPage(session, { expects: /status of 500/ }, async (page) => {
    const chosen = page.getByLabel('Files to put here');
    await chosen.setInputFiles([file, { ...file, name: 'taken.txt' }]);
    await page.getByRole('button', { name: 'Upload' }).click();
    await page.getByRole('link', { name: 'before.txt' }).waitFor();
    await page.getByText(/^taken\.txt was not sent: .*is a directory/).waitFor();
    await rm(join(stage.machine.workDir, 'taken.txt'), { recursive: true });
    await page.getByRole('button', { name: 'Upload' }).click();
    await page.getByRole('link', { name: 'taken.txt', exact: true }).waitFor();
    await page.getByText('sent 2 files').waitFor();
    assert.equal(await chosen.inputValue(), '');
    await writeFile(join(stage.machine.workDir, 'later.txt'), '');
    await page.getByRole('link', { name: 'Refresh the files' }).click();
    await page.getByRole('link', { name: 'later.txt' }).waitFor();
  });
});

test('an emoji takes two cells, as the shell counts it, and a combining mark none', { skip }, async () => {
  await withPage(session, {}, async (page) => {
    await openShell(page);
    await type(page, "printf 'wi%s: ✅\\033[9Gtwo e\\314\\201\\033[14Gone\\n' de\n");
    const row = page.locator('.xterm-rows > div', { hasText: /^wide/ });
    assert.match((await row.textContent()) ?? '', /^wide: ✅two e\u0301one/);
  });
});

test('a new shell is told nothing that the program before it wanted to be told', { skip }, async () => {
  await withPage(session, {}, async (page) => {
    await openShell(page);
    await type(page, 'printf "\\033[?1004h"; echo wat"ched"\n');
    await shows(page, 'watched');
    await openShell(page);
    await type(page, 'echo cle"an"\n');
    await shows(page, 'clean');
    assert.doesNotMatch((await page.locator('.xterm-rows').textContent()) ?? '', /\[I|watched/);
  });
});

test('a form that was carried out closes, as on Escape, and the keyboard is where it was', { skip }, async () => {
  await withPage(session, {}, async (page) => {
    const act = page.locator('#act-note-S0000000000000000');
    const open = (): Promise<boolean> => act.evaluate((details: HTMLDetailsElement) => details.open);
    await act.locator('summary').click();
    await act.getByLabel('What it is for').fill('closed');
    await page.keyboard.press('Enter');
    await page.locator('.commit-line', { hasText: 'closed' }).waitFor();
    assert.equal(await open(), false);
    await page.keyboard.press('Enter');
    assert.equal(await open(), true, 'its button has the focus');
    await page.keyboard.press('Tab');
    await page.keyboard.press('Escape');
    assert.equal(await open(), false);
  });
});

test('without scripts the page tells the other ways in, and its files and forms work', { skip }, async () => {
  await writeFile(join(stage.machine.workDir, 'plain.txt'), 'plain');
  await withPage(session, { scripts: false, expects: /status of 40/ }, async (page) => {
    await page.getByText('The terminal needs scripts').waitFor();
    const [download] = await Promise.all([page.waitForEvent('download'), page.getByRole('link', { name: 'plain.txt' }).click()]);
    assert.equal(await readFile(await download.path(), 'utf8'), 'plain');
    await page.locator('#act-note-S0000000000000000 summary').click();
    await page.locator('#act-note-S0000000000000000').getByLabel('What it is for').fill('a flake');
    await page.getByRole('button', { name: 'Keep' }).click();
    await page.locator('.commit-line', { hasText: 'a flake' }).waitFor();
    const file = { name: 'sent.txt', mimeType: 'text/plain', buffer: Buffer.alloc(3_000_000, 'sent\r\n--') };
    await page.getByLabel('Files to put here').setInputFiles([file, { ...file, name: 'second.txt' }]);
    await page.getByRole('button', { name: 'Upload' }).click();
    await page.getByRole('link', { name: 'second.txt' }).waitFor();
    assert.ok((await readFile(join(stage.machine.workDir, 'sent.txt'))).equals(file.buffer));
    await page.getByRole('button', { name: 'Upload' }).click();
    await page.getByText('no file was chosen').waitFor();
  });
});

test('a session that becomes usable while one looks brings its terminal', { skip }, async () => {
  const waiting = stage.farm.sessions.all.get('S0000000000000001');
  assert.ok(waiting);
  await withPage(waiting.url, {}, async (page) => {
    await page.locator('h1', { hasText: 'waiting' }).waitFor();
    const { wait: _, ...rest } = waiting;
    stage.farm.sessions.put({ ...rest, state: 'active' });
    stage.farm.tell({ kind: 'session', id: waiting.id });
    await page.locator('[data-part=state]', { hasText: /^connected$/ }).waitFor();
  });
});

test('a build’s machine is kept from its page, and the page leads to a shell beside one that runs', { skip }, async () => {
  const ended = testDetail();
  const {
    end: _end,
    endedAt: _at,
    ...running
  } = testDetail({ id: 'B00000000000000aa', url: '/builds/B00000000000000aa', state: 'running' });
  for (const build of [ended, running]) stage.farm.state.builds.set(build.id, { ...build, attemptList: [] });
  await withPage(ended.url, {}, async (page) => {
    await page.locator('#act-hold summary').click();
    await page.locator('#act-hold').getByLabel('What for?').fill('a flake');
    await page.getByRole('button', { name: 'Keep its machine' }).click();
    await page.waitForURL(/\/sessions\/S/);
    await page.locator('.commit-line', { hasText: 'a flake' }).waitFor();
    await page.locator('[data-part=state]', { hasText: /^connected$/ }).waitFor();
  });
  stage.farm.sessions.put(
    fakeSession({ id: 'S00000000000000cc', owner: 'someone', from: { kind: 'held', build: running.id, attempt: 1 } }),
  );
  await withPage(running.url, {}, async (page) => {
    await page.getByRole('link', { name: 'shell beside it' }).click();
    await openShell(page);
    await type(page, 'echo besi"de"\n');
    await shows(page, 'beside');
    assert.deepEqual(await accessibilityFaults(page), []);
  });
});

test(
  'of a session that ends while one looks, what its terminal showed last stays, and nothing that needs its machine',
  { skip },
  async () => {
    const mine = fakeSession({ id: 'S00000000000000ee', owner: 'someone' });
    stage.farm.sessions.put(mine);
    await withPage(mine.url, {}, async (page) => {
      await openShell(page);
      await type(page, 'echo las"t"\n');
      await shows(page, 'last');
      stage.farm.sessions.put({ ...mine, state: 'ended', endedAt: testNow, endReason: 'not used for 30 min' });
      stage.farm.tell({ kind: 'session', id: mine.id });
      await page.locator('h1', { hasText: 'ended' }).waitFor();
      for (const name of ['New shell', 'End shell', 'Upload']) assert.equal(await page.getByRole('button', { name }).count(), 0, name);
      assert.equal(await page.getByRole('heading', { name: /Runs|Files/ }).count(), 0);
      await shows(page, 'last');
    });
  },
);

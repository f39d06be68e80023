import { after, before, test } from 'node:test';
import assert from 'node:assert/strict';
import { missingBrowser, openBrowser, pressKeys } from '@croft/web/html/testing';
import type { Browser, Page } from 'playwright-core';
import { endedBuild, getBuild, onlyBuild } from './testing-builds.ts';
import { findProcess } from './testing-processes.ts';
import { makeRepo } from './testing-repo.ts';
import { makeStage, type Stage } from './testing-stage.ts';
import { startFarm, type TestFarm } from './testing.ts';

const skip = missingBrowser(process.env);
let browser: Browser;

before(async () => {
  if (!skip) browser = await openBrowser();
});
after(async () => browser?.close());

interface Story {
  readonly farm: TestFarm;
  readonly stage: Stage;
  readonly page: Page;
  readonly id: string;
  /** What the browser complained of. */
  readonly complaints: string[];
}

/** A real farm, one build whose attempts say who they are, wait for `RUN.more`, say so, and wait for `RUN.end`; a browser beside it. */
async function withStory(options: { scripts?: boolean }, story: (story: Story) => Promise<void>): Promise<void> {
  await using stage = await makeStage();
  await using repo = await makeRepo(stage.script('say "this is $RUN"; wait_at "$RUN.more"; say more; wait_at "$RUN.end"; say done'));
  await using farm = await startFarm({ repo: repo.dir });
  const { id } = await onlyBuild(farm);
  const context = await browser.newContext({
    baseURL: farm.url,
    javaScriptEnabled: options.scripts ?? true,
    reducedMotion: 'reduce',
  });
  const complaints: string[] = [];
  try {
    const page = await context.newPage();
    page.setDefaultTimeout(60_000);
    page.on('pageerror', (error) => complaints.push(error.message));
    page.on('console', (message) => message.type() === 'error' && complaints.push(message.text()));
    await story({ farm, stage, page, id, complaints });
  } finally {
    await context.close();
  }
}

const line = (page: Page, number: number, text: string): Promise<void> =>
  page.locator(`#L${number} > span`).filter({ hasText: text }).waitFor();
const headline = (page: Page, word: string): Promise<void> => page.locator('h1', { hasText: word }).waitFor();

/** The first line is on the page while the command runs, and what it writes next comes by itself. */
async function watch({ farm, stage, page, id }: Story, attempt: number): Promise<void> {
  const run = `${id}.${attempt}.ci`;
  await line(page, 1, `this is ${run}`);
  assert.equal((await getBuild(farm, id)).state, 'running');
  await stage.open(`${run}.more`);
  await line(page, 2, 'more');
}

async function assertCancelled({ farm, stage, id }: Story, why: string): Promise<void> {
  const build = await endedBuild(farm, id);
  assert.deepEqual(build.end, { kind: 'cancelled', by: 'local', why });
  const pid = await stage.markedPid(`${id}.1.ci`);
  assert.ok(pid !== undefined && findProcess(pid) === undefined);
}

async function passSecond({ farm, stage, page, id }: Story): Promise<void> {
  await stage.open(`${id}.2.ci.end`);
  await line(page, 3, 'done');
  await headline(page, 'passed');
  await page.getByText('The log is complete.').waitFor();
  const build = await getBuild(farm, id);
  assert.deepEqual([build.end?.kind, build.attempts], ['passed', 2]);
}

test('by mouse: from the grid to a build, watched live, cancelled, retried, watched to its end', { skip }, async () => {
  await withStory({}, async (story) => {
    const { page, id } = story;
    await page.goto('/');
    await page.locator(`#c-${id}.running`).click();
    await watch(story, 1);
    await page.locator('#act-cancel summary').click();
    await page.getByLabel('Why?').fill('the wrong branch');
    await page.getByRole('button', { name: 'Cancel this build' }).click();
    await page.locator('#act-retry').waitFor();
    await headline(page, 'cancelled');
    await page.getByText('the wrong branch').first().waitFor();
    await assertCancelled(story, 'the wrong branch');
    await page.locator('#act-retry summary').click();
    await page.getByRole('button', { name: 'Retry this build' }).click();
    await watch(story, 2);
    await passSecond(story);
    await page.getByRole('link', { name: 'Attempt 1' }).click();
    await line(page, 1, `this is ${id}.1.ci`);
    await page.goto('/');
    await page.locator(`#c-${id}.passed`).waitFor();
    assert.deepEqual(story.complaints, []);
  });
});

test('by keyboard alone: the same story', { skip }, async () => {
  await withStory({}, async (story) => {
    const { page, id } = story;
    await page.goto('/');
    await page.locator(`#c-${id}.running`).waitFor();
    await page.keyboard.press('j');
    assert.equal(await page.evaluate(() => document.activeElement?.id), `c-${id}`);
    await page.keyboard.press('Enter');
    await watch(story, 1);
    await pressKeys(page, 'c');
    await page.keyboard.press('Tab');
    await page.keyboard.type('not this one');
    await page.keyboard.press('Enter');
    await page.locator('#act-retry').waitFor();
    await assertCancelled(story, 'not this one');
    await pressKeys(page, 'r');
    await page.keyboard.press('Tab');
    await page.keyboard.press('Enter');
    await watch(story, 2);
    await passSecond(story);
    await pressKeys(page, 'g', 'f');
    await page.waitForURL('**/farm');
    await page.getByText('local-1').first().waitFor();
    assert.deepEqual(story.complaints, []);
  });
});

test('without scripts: the same story, by forms and by loading the page again', { skip }, async () => {
  await withStory({ scripts: false }, async (story) => {
    const { farm, stage, page, id } = story;
    const shows = (text: string): Promise<unknown> =>
      farm.waitFor(`"${text}" on the page`, async () => {
        await page.reload();
        return (await page.locator('body').textContent())?.includes(text);
      });
    await farm.waitFor('the command', () => stage.markedPid(`${id}.1.ci`));
    await page.goto('/');
    await page.locator(`#c-${id}`).click();
    await shows(`this is ${id}.1.ci`);
    await page.locator('#act-cancel summary').click();
    await page.getByLabel('Why?').fill('no scripts');
    await page.getByRole('button', { name: 'Cancel this build' }).click();
    await assertCancelled(story, 'no scripts');
    await shows('no scripts');
    await page.locator('#act-retry summary').click();
    await page.getByRole('button', { name: 'Retry this build' }).click();
    await shows(`this is ${id}.2.ci`);
    await stage.open(`${id}.2.ci.more`);
    await stage.open(`${id}.2.ci.end`);
    await shows('done');
    await endedBuild(farm, id);
    await page.reload();
    await headline(page, 'passed');
  });
});

test('a page that is open while the coordinator is killed and started again goes on by itself', { skip }, async () => {
  await withStory({}, async (story) => {
    const { farm, stage, page, id } = story;
    await page.goto(`/builds/${id}`);
    await line(page, 1, `this is ${id}.1.ci`);
    await farm.kill9();
    await stage.open(`${id}.1.ci.more`);
    await farm.restart();
    await line(page, 2, 'more');
    await stage.open(`${id}.1.ci.end`);
    await line(page, 3, 'done');
    await headline(page, 'passed');
    assert.equal(await page.locator('.row').count(), 3, 'no line twice');
    assert.equal((await getBuild(farm, id)).attempts, 1);
  });
});

test('from the grid to a commit, its builder, what happened in its build, and back by a search', { skip }, async () => {
  await withStory({}, async ({ farm, stage, page, id, complaints }) => {
    const { builder, repo, revision } = await getBuild(farm, id);
    await page.goto('/');
    await page.locator('th.commit a').first().click();
    await page.waitForURL(`**/repos/${repo}/commits/${revision}`);
    await page.locator('.list .badge.running').waitFor();
    for (const gate of ['more', 'end']) await stage.open(`${id}.1.ci.${gate}`);
    await page.locator('.list .badge.passed').waitFor();
    await page.getByRole('link', { name: builder }).first().click();
    await page.getByText('100 %').first().waitFor();
    await page.locator('.list .badge.passed').click();
    await page.getByRole('link', { name: 'events' }).click();
    await page.locator('.fall', { hasText: 'source' }).waitFor();
    await pressKeys(page, '/');
    await page.keyboard.type(id.slice(0, 9));
    await page.keyboard.press('Enter');
    await page.waitForURL(`**/builds/${id}`);
    await page.getByRole('link', { name: 'Audit' }).click();
    await page.getByRole('heading', { name: 'Audit' }).first().waitFor();
    assert.deepEqual(complaints, []);
  });
});

/** A machine borrowed in the browser of a real farm: asked for, waited for, used in its terminal across the coordinator's death, given back. */
import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import type { ConfigInput } from '@croft/config/define-config';
import type { SessionView } from '@croft/protocol/sessions';
import { missingBrowser, openBrowser } from '@croft/web/html/testing';
import type { Page } from 'playwright-core';
import { makeRepo } from './testing-repo.ts';
import { makeStage } from './testing-stage.ts';
import { startFarm, type TestFarm } from './testing.ts';

const skip = missingBrowser(process.env);

function configOf(repo: string): Partial<ConfigInput> {
  return {
    repos: [{ name: 'app', url: repo }],
    pools: [{ kind: 'local', size: 1 }],
    ssh: { host: '127.0.0.1', port: 0 },
    builders: [
      {
        name: 'unit',
        repos: ['app'],
        steps: [{ name: 'unit', argv: ['true'] }],
        shell: { env: { HOME: '$WORKDIR', GREETING: 'a "quoted" $value' } }, // whatever the account's shell does first
      },
    ],
  };
}

const shows = (page: Page, text: string | RegExp): Promise<void> => page.locator('.xterm-rows', { hasText: text }).waitFor();
const state = (page: Page, text: RegExp): Promise<void> => page.locator('[data-part=state]', { hasText: text }).waitFor();

async function type(page: Page, text: string): Promise<void> {
  await page.locator('.xterm-helper-textarea').focus();
  await page.keyboard.type(text);
}

async function borrow(page: Page, note: string): Promise<string> {
  await page.goto('/sessions');
  await page.getByLabel('Borrow a machine of').selectOption('unit');
  await page.getByLabel('What for?').fill(note);
  await page.getByRole('button', { name: 'Borrow' }).click();
  await page.waitForURL(/\/sessions\/S[0-9a-f]{16}$/);
  return new URL(page.url()).pathname.slice('/sessions/'.length);
}

async function give(page: Page, why: string): Promise<void> {
  await page.locator('[id^="act-destroy-"] summary').first().click();
  await page.getByLabel('Why?').fill(why);
  await page.getByRole('button', { name: /^Destroy/ }).click();
}

const sessionOf = (farm: TestFarm, id: string): Promise<SessionView> => farm.api('GET', `/api/v1/sessions/${id}`);

test('a machine is borrowed, waited for, used across the coordinator’s death, filled, emptied and given back', { skip }, async () => {
  await using stage = await makeStage();
  await using repo = await makeRepo('#!/bin/sh\n');
  await using farm = await startFarm({ config: configOf(repo.dir) });
  const browser = await openBrowser();
  try {
    const context = await browser.newContext({ baseURL: farm.url, reducedMotion: 'reduce' });
    const page = await context.newPage();
    page.setDefaultTimeout(60_000);

    const first = await borrow(page, 'first come');
    await state(page, /^connected$/);
    await shows(page, /[#$>]/);
    await type(page, 'echo "$GREETING|$CI|$PWD"\n');
    await shows(page, 'a "quoted" $value|true|');
    await page.getByText(/^ssh -p \d+ local-unit-0@/).waitFor();

    const waiting = await context.newPage();
    waiting.setDefaultTimeout(60_000);
    const second = await borrow(waiting, 'second come');
    await waiting.locator('.wait', { hasText: 'place 1' }).waitFor();

    await type(page, `until test -e ${join(stage.dir, 'gate')}; do sleep 0.1; done; echo mis"sed"\n`);
    await shows(page, 'gate');
    await farm.kill9();
    await state(page, /connection lost/);
    await stage.open('gate');
    await type(page, 'echo typed-while-dea"d"\n');
    await farm.restart();
    await shows(page, 'typed-while-dead');
    const text = (await page.locator('.xterm-rows').textContent()) ?? '';
    assert.deepEqual([text.match(/missed/g)?.length, text.match(/while-dead/g)?.length], [1, 1], text);
    assert.equal((await sessionOf(farm, first)).state, 'active');

    await page
      .getByLabel('Files to put here')
      .setInputFiles({ name: 'to.bin', mimeType: 'text/plain', buffer: Buffer.alloc(1_000_000, 'x') });
    await page.getByRole('button', { name: 'Upload' }).click();
    await page.getByRole('link', { name: 'to.bin' }).waitFor();
    await type(page, 'tr x y < to.bin > from.bin; echo do"ne"\n');
    await shows(page, 'done');
    await page.getByRole('link', { name: 'work directory' }).click();
    const [download] = await Promise.all([page.waitForEvent('download'), page.getByRole('link', { name: 'from.bin' }).click()]);
    assert.ok((await readFile(await download.path())).equals(Buffer.alloc(1_000_000, 'y')));

    await give(page, 'all seen');
    await state(page, /all seen/);
    await state(waiting, /^connected$/); // by itself, once it has the machine
    await farm.waitFor('the first session to have ended', async () => (await sessionOf(farm, first)).state === 'ended');
    await type(waiting, 'ls to.bin; echo clea"n"\n');
    await shows(waiting, /cannot access.*clean|No such file.*clean/s);
    await give(waiting, 'done');
    await farm.waitFor('the second session to have ended', async () => (await sessionOf(farm, second)).state === 'ended');
    assert.ok(!existsSync(join(farm.dataDir, 'machines', 'local-1', 'work', 'to.bin')));
  } finally {
    await browser.close();
  }
});

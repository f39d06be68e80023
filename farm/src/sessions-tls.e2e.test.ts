/** A terminal in the browser of a real farm that ends TLS itself: signed in, from its own page only, and found again after its death. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import type { IncomingMessage } from 'node:http';
import { request } from 'node:https';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import type { SessionView } from '@croft/protocol/sessions';
import { SECOND, systemClock } from '@croft/runtime/clock';
import { missingBrowser, openBrowser } from '@croft/web/html/testing';
import type { Page } from 'playwright-core';
import { makeRepo } from './testing-repo.ts';
import { makeCertificate, missingOpenssl } from './testing-tls.ts';
import { startFarm } from './testing.ts';

const skip = missingBrowser(process.env) || missingOpenssl();

/** The status of the answer to a page that asks for a terminal. */
async function knock(terminal: URL, headers: Readonly<Record<string, string>>): Promise<number | undefined> {
  const upgrade = {
    connection: 'Upgrade',
    upgrade: 'websocket',
    'sec-websocket-version': '13',
    'sec-websocket-key': 'AAAAAAAAAAAAAAAAAAAAAA==',
  };
  const signal = systemClock.deadline(20 * SECOND);
  const asked = request(terminal, { rejectUnauthorized: false, headers: { ...upgrade, ...headers }, signal });
  asked.end();
  const [answer] = (await Promise.race([once(asked, 'response'), once(asked, 'upgrade')])) as [IncomingMessage];
  asked.destroy();
  return answer.statusCode;
}

const shows = (page: Page, text: string): Promise<void> => page.locator('.xterm-rows', { hasText: text }).waitFor();

test('over TLS a terminal is for who has signed in, on a page of the farm, and outlives the coordinator', { skip }, async () => {
  const dir = await mkdtemp(join(tmpdir(), 'croft-tls-'));
  const browser = await openBrowser();
  try {
    await using repo = await makeRepo('#!/bin/sh\n');
    const builders = [{ name: 'unit', repos: ['app'], steps: [{ name: 'unit', argv: ['true'] }], shell: { env: { HOME: '$WORKDIR' } } }];
    const config = {
      repos: [{ name: 'app', url: repo.dir }],
      builders,
      pools: [{ kind: 'local' as const, size: 1 }],
      tls: makeCertificate(dir),
    };
    await using farm = await startFarm({ config });
    assert.match(farm.url, /^https:/);
    const context = await browser.newContext({ baseURL: farm.url, ignoreHTTPSErrors: true, reducedMotion: 'reduce' });
    const json = { data: { name: 'ann', role: 'developer', repos: [], expiresInMs: 3_600_000 } };
    const { secret } = (await (await context.request.post('/api/v1/tokens', json)).json()) as { secret: string };
    const page = await context.newPage();
    page.setDefaultTimeout(60_000);
    await page.goto('/signin?to=/sessions');
    await page.locator('input[name=token]').fill(secret);
    await page.keyboard.press('Enter');
    await page.waitForURL('**/sessions');
    await page.getByLabel('Borrow a machine of').selectOption('unit');
    await page.getByRole('button', { name: 'Borrow' }).click();
    await page.locator('[data-part=state]', { hasText: /^connected$/ }).waitFor();
    await page.locator('.xterm-helper-textarea').focus();
    await page.keyboard.type('echo en"crypted"\n');
    await shows(page, 'encrypted');

    const session = (await (await context.request.get(`/api/v1${new URL(page.url()).pathname}`)).json()) as SessionView;
    assert.equal(session.owner, 'ann');
    const terminal = new URL(`/api/v1/sessions/${session.id}/terminal?cols=80&rows=24`, farm.url);
    const cookie = (await context.cookies()).map(({ name, value }) => `${name}=${value}`).join('; ');
    assert.ok((await context.cookies()).some(({ secure, httpOnly, sameSite }) => secure && httpOnly && sameSite !== 'None'));
    assert.equal(await knock(terminal, { cookie, origin: 'https://elsewhere.example' }), 403);
    assert.equal(await knock(terminal, { cookie, origin: farm.url.replace('https:', 'http:') }), 403);
    assert.equal(await knock(terminal, { cookie }), 403);
    assert.equal(await knock(terminal, { cookie, origin: farm.url }), 101);

    await farm.kill9();
    await page.locator('[data-part=state]', { hasText: 'connection lost' }).waitFor();
    await page.keyboard.type('echo found-aga"in"\n');
    await farm.restart();
    await shows(page, 'found-again');
    const text = (await page.locator('.xterm-rows').textContent()) ?? '';
    assert.equal(text.match(/found-again/g)?.length, 1, text);
  } finally {
    await browser.close();
    await rm(dir, { recursive: true, force: true });
  }
});

/** The picture of a borrowed machine: its page with a terminal that was used, in light and dark. */
import { join } from 'node:path';
import type { SessionView } from '@croft/protocol/sessions';
import type { Browser } from '@croft/web/html/testing';
import type { TestFarm } from './testing.ts';

interface Place {
  /** Where the pictures go. */
  readonly dir: string;
  readonly builder: string;
}

/** Borrows a machine of the builder and ends the session afterwards. @returns the files */
export async function shootSession(browser: Browser, farm: TestFarm, { dir, builder }: Place): Promise<string[]> {
  const { id, url } = await farm.api<SessionView>('POST', '/api/v1/sessions', { builder, note: 'does it need four threads?' });
  await farm.waitFor('a borrowed machine', async () => (await farm.api<SessionView>('GET', `/api/v1/sessions/${id}`)).state === 'active');
  const page = await browser.newPage({ viewport: { width: 1_120, height: 860 }, reducedMotion: 'reduce' });
  page.setDefaultTimeout(60_000);
  await page.goto(new URL(url, farm.url).href);
  await page.locator('[data-part=state]', { hasText: /^connected$/ }).waitFor();
  await page.locator('.xterm-helper-textarea').focus();
  await page.keyboard.type('PS1="$ "; clear; seq 3 > counts.txt; uname -sm; ls -l --color=always --time-style=+ *.txt\n');
  await page.locator('.xterm-rows', { hasText: /\d counts\.txt|\d {2}counts\.txt/ }).waitFor();
  const files: string[] = [];
  for (const colorScheme of ['light', 'dark'] as const) {
    await page.emulateMedia({ colorScheme });
    const path = join(dir, `session-${colorScheme}.png`);
    await page.screenshot({ path });
    files.push(path);
  }
  await farm.api('DELETE', `/api/v1/sessions/${id}`, { why: 'the picture is taken' });
  return files;
}

/** A real browser for page tests: the system's Chromium. Where there is none, tests are skipped by name, unless one is required. */
import { existsSync } from 'node:fs';
import { createRequire } from 'node:module';
import { chromium, type Browser, type Page } from 'playwright-core';

export type { Browser, Page } from 'playwright-core';

const places = [
  '/usr/bin/chromium',
  '/usr/bin/chromium-browser',
  '/usr/bin/google-chrome',
  '/Applications/Chromium.app/Contents/MacOS/Chromium',
  '/Applications/Google Chrome.app/Contents/MacOS/Google Chrome',
];
const advice = 'on Debian: apt-get install chromium; or CROFT_CHROMIUM names one';

type Env = Readonly<Record<string, string | undefined>>;

/**
 * Pass it to `test` as `skip`: the reason, or false. With CROFT_REQUIRE_BROWSER=1 a missing browser is a failure instead.
 */
export function missingBrowser(env: Env): string | false {
  return findBrowser(env) !== undefined || env['CROFT_REQUIRE_BROWSER'] === '1' ? false : `no Chromium found; ${advice}`;
}

export async function openBrowser(env: Env = process.env): Promise<Browser> {
  const executablePath = findBrowser(env);
  if (executablePath === undefined) throw new Error(`no Chromium at ${env['CROFT_CHROMIUM'] ?? places.join(', ')}; ${advice}`);
  const asRoot = process.getuid?.() === 0;
  return chromium.launch({ executablePath, args: asRoot ? ['--no-sandbox'] : [] });
}

/** Where `tools/bootstrap-browser.mjs` looks, too. */
function findBrowser(env: Env): string | undefined {
  const chosen = env['CROFT_CHROMIUM'];
  return (chosen ? [chosen] : places).find((path) => existsSync(path));
}

/**
 * Presses single keys one upon the other, faster than a chord is forgotten on a machine that stalls. They are listened to once the
 * scripts of a page have run, which is before its `load`; what stands on a page is seen sooner.
 */
export async function pressKeys(page: Page, ...keys: readonly string[]): Promise<void> {
  await page.waitForLoadState('load');
  await Promise.all(keys.map((key) => page.keyboard.press(key)));
}

/** What axe-core finds seriously wrong, and each id that stands twice, which axe leaves alone; one line each. */
export async function accessibilityFaults(page: Page): Promise<string[]> {
  await page.evaluate(await axeSource());
  return page.evaluate(async () => {
    const ids = [...document.querySelectorAll('[id]')].map(({ id }) => id);
    const twice = new Set(ids.filter((id, at) => ids.indexOf(id) < at));
    const { axe } = globalThis as unknown as {
      axe: { run(): Promise<{ violations: { id: string; impact: string; nodes: { html: string; failureSummary: string }[] }[] }> };
    };
    const { violations } = await axe.run();
    const faults = violations
      .filter(({ impact }) => impact === 'serious' || impact === 'critical')
      .flatMap(({ id, nodes }) =>
        nodes
          .slice(0, 3)
          .map(({ html, failureSummary }) => `${id}: ${html.slice(0, 160)} ${failureSummary.replaceAll('\n', ' ').slice(0, 240)}`),
      );
    return [...faults, ...Array.from(twice, (id) => `the id ${JSON.stringify(id)} stands twice`)];
  });
}

async function axeSource(): Promise<string> {
  const { readFile } = await import('node:fs/promises');
  return readFile(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8');
}

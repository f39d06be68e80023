/**
 * Finds the Chromium that browser tests drive, and installs Debian's where that is allowed. Its absence is no failure (those
 * tests are skipped by name) unless CROFT_REQUIRE_BROWSER=1 says so. Plain JavaScript: part of the bootstrap.
 */
import { existsSync } from 'node:fs';
import { aptInstall, aptPrefix } from './bootstrap-apt.mjs';

const known = [
  '/usr/bin/chromium',
  '/usr/bin/chromium-browser',
  '/usr/bin/google-chrome',
  '/Applications/Chromium.app/Contents/MacOS/Chromium',
  '/Applications/Google Chrome.app/Contents/MacOS/Google Chrome',
];

/** @throws Error when no browser is there at the end and one is required */
export async function ensureBrowser({ withLock, say, fail }) {
  if (findBrowser()) return;
  const prefix = process.env.CROFT_CHROMIUM ? undefined : aptPrefix();
  if (prefix) await withLock(() => findBrowser() ?? install(prefix, say));
  if (findBrowser()) return;
  if (process.env.CROFT_REQUIRE_BROWSER === '1') throw fail(`no Chromium for the browser tests, and CROFT_REQUIRE_BROWSER=1. ${advice()}`);
  say(`no Chromium: browser tests will be skipped. ${advice()}`);
}

function findBrowser() {
  const chosen = process.env.CROFT_CHROMIUM;
  return (chosen ? [chosen] : known).find((path) => existsSync(path));
}

function install(prefix, say) {
  say('installing chromium with apt-get for the browser tests (once, about 400 MB)');
  aptInstall(prefix, 'chromium');
}

function advice() {
  if (process.env.CROFT_CHROMIUM) return `CROFT_CHROMIUM names ${process.env.CROFT_CHROMIUM}, which does not exist: correct or unset it.`;
  if (process.platform === 'darwin')
    return 'Install it with `brew install --cask chromium`, or set CROFT_CHROMIUM to a Chromium or Chrome program.';
  if (existsSync('/usr/bin/apt-get'))
    return 'Install it with `sudo apt-get install chromium`, or set CROFT_CHROMIUM to a Chromium or Chrome program.';
  return "Install Chromium with this system's package manager, or set CROFT_CHROMIUM to a Chromium or Chrome program.";
}

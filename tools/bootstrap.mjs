/**
 * Sets up what a fresh clone lacks, before any npm script: the locked dependencies and with them the pinned Node. Runs on the
 * system's Node 20 or newer, so it is plain JavaScript without dependencies. With `--browser` it also looks for Chromium, and
 * installs it where Debian's package manager may be used. Says what it does on stderr; does nothing within 0.25 s when all is there.
 */
import { spawn, spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { basename, delimiter, dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { ensureBrowser } from './bootstrap-browser.mjs';
import { ensureDocker } from './bootstrap-docker.mjs';
import { acquireLock } from './bootstrap-lock.mjs';
import { ensureSshClients } from './bootstrap-ssh.mjs';

const pinnedMajor = 26;
const unreachable =
  /\b(ENOTFOUND|EAI_AGAIN|ECONNREFUSED|ECONNRESET|ETIMEDOUT|ENETUNREACH|EHOSTUNREACH|ERR_SOCKET_TIMEOUT|E401|E403|E5\d\d)\b/;

const root = dirname(dirname(fileURLToPath(import.meta.url)));
const stamp = join(root, 'node_modules', '.croft-stamp');

/** A failure with a sentence that says what to do about it. */
class SetUpError extends Error {}

process.exitCode = await bootstrap(process.argv.includes('--browser'));

/** @returns the exit code: 0 when everything needed is there */
async function bootstrap(browser) {
  try {
    const wanted = stampOfLock();
    if (!isInStep(wanted)) await withLock((lock) => isInStep(wanted) || install(wanted, lock));
    const ways = { withLock, say, fail: (text) => new SetUpError(text) };
    if (browser) await ensureBrowser(ways);
    if (process.env.CROFT_REQUIRE_DOCKER === '1') await ensureDocker(ways);
    if (process.env.CROFT_REQUIRE_SSH === '1') await ensureSshClients(ways);
    return 0;
  } catch (error) {
    say(error instanceof SetUpError ? error.message : `the set-up failed: ${error.stack}`);
    return 1;
  }
}

function say(text) {
  process.stderr.write(`croft: ${text}\n`);
}

/** What is installed depends on the lock file and the platform. */
function stampOfLock() {
  const lock = readFileSync(join(root, 'package-lock.json'));
  return `${createHash('sha256').update(lock).digest('hex')} ${process.platform}-${process.arch}\n`;
}

function isInStep(wanted) {
  return existsSync(stamp) && readFileSync(stamp, 'utf8') === wanted;
}

async function withLock(task) {
  const lock = await acquireLock(join(root, '.bootstrap.lock'), say);
  try {
    return await task(lock);
  } finally {
    lock.release();
  }
}

async function install(wanted, lock) {
  say('installing the locked dependencies (npm ci; the first time this can take half a minute)');
  const startedAt = Date.now();
  const failure = await runNpm(lock);
  if (failure) throw new SetUpError(failure);
  proveNode();
  writeFileSync(stamp, wanted);
  say(`installed in ${((Date.now() - startedAt) / 1000).toFixed(1)} s`);
}

/** Install scripts stay off, so that every npm does the same and no package runs code while it is installed. */
function runNpm(lock) {
  const args = [
    'ci',
    '--ignore-scripts',
    '--include=dev',
    '--include=optional',
    '--prefer-offline',
    '--no-audit',
    '--no-fund',
    '--loglevel=error',
  ];
  const npm = npmCommand();
  return new Promise((resolve) => {
    const child = spawn(npm.program, [...npm.args, ...args], {
      cwd: root,
      env: npm.env,
      shell: npm.shell,
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    if (child.pid) lock.alsoHeldBy(child.pid);
    let interrupted = false;
    // Asked to end, npm first writes all that it has fetched; nothing of it would be used.
    const kill = () => {
      interrupted = true;
      child.kill('SIGKILL');
    };
    const signals = ['SIGINT', 'SIGTERM', 'SIGHUP'];
    for (const signal of signals) process.on(signal, kill);
    const ticker = setInterval(() => say('still installing …'), 5_000);
    let tail = '';
    for (const stream of [child.stdout, child.stderr]) {
      stream.on('data', (data) => {
        process.stderr.write(data);
        tail = (tail + data).slice(-16_384);
      });
    }
    const done = (failure) => {
      clearInterval(ticker);
      for (const signal of signals) process.removeListener(signal, kill);
      resolve(failure);
    };
    child.on('error', (error) =>
      done(`npm could not be started (${error.code}). Install Node.js 20 or newer together with npm, then run this again.`),
    );
    child.on('close', (code, signal) => {
      if (interrupted) done('the installation was interrupted; it starts afresh the next time.');
      else done(code === 0 ? undefined : explain(code ?? signal, tail));
    });
  });
}

function explain(code, tail) {
  if (unreachable.test(tail)) {
    return `npm could not fetch the packages (exit ${code}). Check the network, the proxy and \`npm config get registry\`, then run this again.`;
  }
  if (tail.includes('EUSAGE')) {
    return 'package.json and package-lock.json disagree. Run `npm install` with Node 26 first in PATH, commit the lock, then run this again.';
  }
  if (/\b(ENOSPC|EACCES|EPERM|EROFS)\b/.test(tail)) {
    return `npm could not write node_modules (exit ${code}). Make room, or make the folder writable for you, then run this again.`;
  }
  return `npm ci failed (${code}); its own words stand above. Repair that, then run this again.`;
}

/** The npm that called this if one did, else the one in PATH; never with the Node that npm ci is about to delete. */
function npmCommand() {
  const { env } = process;
  const own = join(root, 'node_modules', '.bin');
  const path = (env.PATH ?? '').split(delimiter).filter((entry) => entry !== own);
  const rest = { env: { ...env, PATH: path.join(delimiter) } };
  if (env.npm_execpath && env.npm_node_execpath && basename(env.npm_execpath) === 'npm-cli.js') {
    return { ...rest, program: env.npm_node_execpath, args: [env.npm_execpath], shell: false };
  }
  return { ...rest, program: 'npm', args: [], shell: process.platform === 'win32' };
}

/** The scripts run with node_modules/.bin/node, or with a system Node that is new enough where no package has one. */
function proveNode() {
  const where = `${process.platform}-${process.arch}`;
  const program = join(root, 'node_modules', '.bin', process.platform === 'win32' ? 'node.cmd' : 'node');
  if (!existsSync(program)) {
    if (Number(process.versions.node.split('.')[0]) >= pinnedMajor) return;
    throw new SetUpError(
      `no Node ${pinnedMajor} package exists for ${where} (there are linux-x64, linux-arm64, darwin-arm64, win32-x64). ` +
        `Install Node ${pinnedMajor} or newer yourself, put it first in PATH, then run this again.`,
    );
  }
  const asked = spawnSync(program, ['--version'], { encoding: 'utf8', shell: process.platform === 'win32' });
  if (asked.status === 0 && asked.stdout.startsWith(`v${pinnedMajor}.`)) return;
  const why = asked.error?.code ?? ((asked.stderr || asked.stdout || '').trim().split('\n')[0] || `signal ${asked.signal}`);
  throw new SetUpError(
    `the pinned Node ${pinnedMajor} does not run on this machine (${where}: ${why}). It needs glibc 2.28 or newer on Linux; ` +
      `elsewhere install Node ${pinnedMajor} yourself and put it first in PATH.`,
  );
}

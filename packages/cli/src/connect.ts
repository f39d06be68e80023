/** Which farm is meant, and the token for it: from the command line, the environment, or the files a running farm leaves. */
import { readdir, readFile, stat } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { CroftError, systemCode } from '@croft/runtime/errors';
import { createClient, type Client } from '@croft/web/client';
import { writeOwnFile } from './own-file.ts';
import type { Cli } from './program.ts';

export interface ServerOptions {
  readonly server?: string | undefined;
  readonly token?: string | undefined;
}

/** @throws CroftError `unavailable` when no farm is known, `invalid` for a token file that others can read */
export async function connect(given: ServerOptions, cli: Cli): Promise<Client> {
  const { clock, random, stderr } = cli;
  let told = false;
  return createClient({
    ...(await locate(given, cli)),
    clock,
    random,
    onRetry({ message }) {
      if (!told) void stderr.write(`croft: ${message}; trying again\n`).catch(() => {});
      told = true;
    },
  });
}

/** The farm's address and who asks there; an empty token is none, and no other one is looked for. @throws CroftError as above */
export async function locate(
  given: ServerOptions,
  { env, cwd }: Pick<Cli, 'env' | 'cwd'>,
): Promise<{ server: string; token: string | undefined }> {
  const named = given.server ?? (env['CROFT_SERVER'] || undefined);
  const dataDir = named === undefined ? await findDataDir(cwd) : undefined;
  const login = await readLogin(env);
  const server = named ?? (dataDir && (await readAddress(dataDir))) ?? login?.server;
  if (server === undefined) {
    throw new CroftError('unavailable', 'no running farm was found', {
      hint: 'Start one with "npm start", run this below its directory, or name one: --server URL, CROFT_SERVER, or gomote login URL.',
    });
  }
  const token =
    given.token ??
    env['CROFT_TOKEN'] ??
    (await readTokenFile(dataDir && join(dataDir, 'admin-token'))) ??
    (login && sameServer(login.server, server) ? login.token : undefined) ??
    (await readTokenFile(userFile(env, 'token')));
  return { server, token: token || undefined };
}

/** The directory of the farm that runs below the nearest `.croft` with one, from here upwards. @throws CroftError `invalid` for several */
async function findDataDir(cwd: string): Promise<string | undefined> {
  for (let at = cwd; ; at = dirname(at)) {
    const found = await runningBelow(join(at, '.croft'));
    if (found.length > 1) {
      throw new CroftError('invalid', `more than one farm has left its address: ${found.join(', ')}`, {
        hint: 'Name the one that is meant: --server URL or CROFT_SERVER.',
      });
    }
    if (found.length > 0 || dirname(at) === at) return found[0];
  }
}

/** A farm may keep its data in `.croft` itself, or, as `npm start` does, in one directory for each repository. */
async function runningBelow(directory: string): Promise<string[]> {
  const names = await readdir(directory).catch(() => []);
  const candidates = ['.', ...names].map((name) => join(directory, name));
  const running = await Promise.all(candidates.map((path) => stat(join(path, 'address.json')).catch(() => undefined)));
  return candidates.filter((_, index) => running[index] !== undefined);
}

async function readAddress(dataDir: string): Promise<string> {
  const path = join(dataDir, 'address.json');
  try {
    const { url } = JSON.parse(await readFile(path, 'utf8')) as { url?: unknown };
    if (typeof url === 'string') return url;
  } catch (error) {
    throw new CroftError('unavailable', `reading ${path}`, { cause: error, hint: 'Restart the farm, or name it: --server URL.' });
  }
  throw new CroftError('unavailable', `${path} holds no address`, { hint: 'Restart the farm, or name it: --server URL.' });
}

/** Where a person keeps what our programs remember for them: `~/.config`. */
export function configHome(env: Cli['env']): string | undefined {
  const home = env['XDG_CONFIG_HOME'] ?? env['APPDATA'];
  return home ? home : env['HOME'] && join(env['HOME'], '.config');
}

function userFile(env: Cli['env'], name: string): string | undefined {
  const home = configHome(env);
  return home && join(home, 'croft', name);
}

export interface Login {
  readonly server: string;
  /** Shown to that server alone. */
  readonly token?: string | undefined;
}

/** Remembered until the next one. @returns the file. @throws CroftError `invalid` without a home directory */
export async function rememberLogin(login: Login, env: Cli['env']): Promise<string> {
  const path = userFile(env, 'login.json');
  if (path === undefined) throw new CroftError('invalid', 'there is no home directory to remember it in', { hint: 'Set HOME.' });
  await writeOwnFile(path, `${JSON.stringify(login)}\n`);
  return path;
}

async function readLogin(env: Cli['env']): Promise<Login | undefined> {
  const path = userFile(env, 'login.json');
  const text = await readTokenFile(path);
  if (text === undefined) return undefined;
  try {
    const { server, token } = JSON.parse(text) as { server?: unknown; token?: unknown };
    if (typeof server === 'string') return { server, token: typeof token === 'string' ? token : undefined };
  } catch {
    // told below
  }
  throw new CroftError('invalid', `${path} is not what gomote login wrote`, { hint: `Remove it: rm ${path}` });
}

function sameServer(one: string, other: string): boolean {
  return URL.parse(one)?.origin === URL.parse(other)?.origin;
}

async function readTokenFile(path: string | undefined): Promise<string | undefined> {
  if (path === undefined) return undefined;
  try {
    const { mode } = await stat(path);
    if ((mode & 0o077) !== 0 && process.platform !== 'win32') {
      throw new CroftError('invalid', `others can read the token in ${path}`, { hint: `Run: chmod 600 ${path}` });
    }
    return (await readFile(path, 'utf8')).trim() || undefined;
  } catch (error) {
    if (systemCode(error) === 'ENOENT' || systemCode(error) === 'ENOTDIR') return undefined;
    throw error;
  }
}

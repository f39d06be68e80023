/** Which farm is meant, and the token for it: from the command line, the environment, or the files a running farm leaves. */
import { readFile, stat } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { CroftError, systemCode } from '@croft/runtime/errors';
import { createClient, type Client } from '@croft/web/client';
import type { Cli } from './cli.ts';

export interface ServerOptions {
  readonly server?: string | undefined;
  readonly token?: string | undefined;
}

/** @throws CroftError `unavailable` when no farm is known, `invalid` for a token file that others can read */
export async function connect(given: ServerOptions, { env, cwd, clock, random, stderr }: Cli): Promise<Client> {
  const dataDir = await findDataDir(cwd);
  const server = given.server ?? env['CROFT_SERVER'] ?? (dataDir && (await readAddress(dataDir)));
  if (server === undefined) {
    throw new CroftError('unavailable', 'no running farm was found', { hint: 'Start one with "npm start", run this below its directory, or name one: --server URL or CROFT_SERVER.' });
  }
  const ownFarm = given.server === undefined && env['CROFT_SERVER'] === undefined;
  const token = given.token ?? env['CROFT_TOKEN'] ?? (await readTokenFile(ownFarm ? dataDir && join(dataDir, 'admin-token') : undefined)) ?? (await readTokenFile(userTokenFile(env)));
  let told = false;
  return createClient({
    ...{ server, token, clock, random },
    onRetry({ message }) {
      if (!told) void stderr.write(`croft: ${message}; trying again\n`).catch(() => {});
      told = true;
    },
  });
}

/** The nearest `.croft` with an address in it, from here upwards. */
async function findDataDir(cwd: string): Promise<string | undefined> {
  for (let at = cwd; ; at = dirname(at)) {
    const candidate = join(at, '.croft');
    if (await stat(join(candidate, 'address.json')).catch(() => undefined)) return candidate;
    if (dirname(at) === at) return undefined;
  }
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

function userTokenFile(env: Cli['env']): string | undefined {
  const config = env['XDG_CONFIG_HOME'] ?? (env['HOME'] && join(env['HOME'], '.config'));
  return config && join(config, 'croft', 'token');
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

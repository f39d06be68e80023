/** Who one is to Go's coordinator: a name and the token that its gomote kept in a file. @see buildlet.md 3.9 */
import { readFile } from 'node:fs/promises';
import { posix, win32 } from 'node:path';
import { CroftError, systemCode } from '@croft/runtime/errors';

export interface UserOptions {
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly platform: NodeJS.Platform;
  /** Absent: the one who is signed in. */
  readonly user?: string | undefined;
  readonly staging?: boolean | undefined;
}

/** @throws CroftError `invalid` without a user, `not-found` without a token */
export async function readUserAuth({ env, platform, user, staging = false }: UserOptions): Promise<{ user: string; password: string }> {
  const named = user ?? env[platform === 'win32' ? 'USERNAME' : 'USER'] ?? '';
  if (!/^[A-Za-z0-9_][A-Za-z0-9._@+-]*$/.test(named)) throw new CroftError('invalid', 'user flag must be specified');
  const at = (file: string): string => (platform === 'win32' ? win32 : posix).join(tokenDir(env, platform), file);
  const real = (await contentOf(at(`user-${named}.user`))) ?? named;
  const file = at(`${staging ? 'staging-' : ''}user-${real}.token`);
  const token = await contentOf(file);
  if (token !== undefined) return { user: `user-${real}`, password: token };
  throw new CroftError('not-found', `Missing file ${file} for user ${JSON.stringify(real)}.`, {
    hint: 'Change --user or obtain a token and place it there.',
  });
}

function tokenDir(env: UserOptions['env'], platform: NodeJS.Platform): string {
  if (platform === 'win32') return win32.join(env['APPDATA'] ?? '', 'Gomote');
  if (env['XDG_CONFIG_HOME']) return posix.join(env['XDG_CONFIG_HOME'], 'gomote');
  return posix.join(env['HOME'] ?? '', '.config', 'gomote');
}

async function contentOf(file: string): Promise<string | undefined> {
  try {
    return (await readFile(file, 'utf8')).trim();
  } catch (error) {
    if (systemCode(error) === 'ENOENT') return undefined;
    throw new CroftError('invalid', `read ${file}`, { cause: error });
  }
}

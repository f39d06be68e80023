/**
 * The admin's own token in a file that only the farm's user can read. It is how that person signs in where the system does not
 * tell who is at the other end of a connection, and how an open farm gets its first token.
 */
import { readFile, rename, writeFile } from 'node:fs/promises';
import { DAY, type Clock } from '@croft/runtime/clock';
import { sha256Hex } from '@croft/runtime/digest';
import type { Tokens } from './tokens.ts';

const lastsMs = 366 * DAY;
const renewedBeforeMs = 180 * DAY;

/** Makes the file, or makes it anew when its token does not count or ends soon. */
export async function ensureTokenFile(path: string, { tokens, clock }: { tokens: Tokens; clock: Clock }): Promise<void> {
  const present = await readFile(path, 'utf8').catch(() => '');
  const known = present === '' ? undefined : await tokens.byHash(sha256Hex(present.trim()));
  if (known && known.revokedAt === undefined && known.expiresAt > clock.now() + renewedBeforeMs) return;
  const { secret } = await tokens.create({ name: 'token file', role: 'admin', repos: [], expiresInMs: lastsMs });
  await writeFile(`${path}.new`, `${secret}\n`, { mode: 0o600 });
  await rename(`${path}.new`, path);
}

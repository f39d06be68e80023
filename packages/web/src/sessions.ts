/**
 * Browser sessions without a table: the cookie names a token by its hash and is signed with a key of the farm, so a session survives a
 * restart and ends with its token. Cookies do not tell ports apart, so on loopback a session also names the local user who
 * signed in: another user's server that is shown the cookie cannot use it.
 */
import { createHmac } from 'node:crypto';
import { DAY, type Clock } from '@croft/runtime/clock';
import { sameSecret, sha256Hex } from '@croft/runtime/digest';
import type { KnownToken, TokenBook } from './identity.ts';

export const sessionLastsMs = 7 * DAY;

const plainName = 'croft_session';
/** Browsers accept this prefix only from an encrypted origin and for that host alone. */
const secureName = '__Host-croft_session';

interface Signing {
  readonly sessionKey: string;
  readonly clock: Clock;
  readonly uid: number | undefined;
}

/** The `Set-Cookie` value of a new session. */
export function newSessionCookie(secret: string, { sessionKey, clock, uid, secure }: Signing & { secure: boolean }): string {
  const now = clock.now();
  const expiresAt = now + sessionLastsMs;
  const content = `${sha256Hex(secret)}.${expiresAt}.${uid ?? 'any'}`;
  return cookie(`${content}.${signature(content, sessionKey)}`, Math.floor((expiresAt - now) / 1_000), secure);
}

export function endedSessionCookie(secure: boolean): string {
  return cookie('', 0, secure);
}

export function cookieOf(request: Request): string | undefined {
  const pairs = (request.headers.get('cookie') ?? '').split(';').map((pair) => pair.trim().split('=') as [string, string?]);
  const found = pairs.find(([name]) => name === secureName) ?? pairs.find(([name]) => name === plainName);
  return found?.[1] || undefined;
}

/** The token behind a session; undefined when the session does not count any more. */
export async function openSession(
  value: string | undefined,
  { tokens, sessionKey, clock, uid }: Signing & { tokens: TokenBook },
): Promise<KnownToken | undefined> {
  const match = /^(([0-9a-f]{64})\.(\d{1,16})\.(any|\d+))\.([0-9a-f]{64})$/.exec(value ?? '');
  if (!match) return undefined;
  const [, content = '', hash = '', expiresAt, owner, mac = ''] = match;
  if (!sameSecret(mac, signature(content, sessionKey)) || Number(expiresAt) <= clock.now()) return undefined;
  if (owner !== 'any' && owner !== String(uid)) return undefined;
  const token = await tokens.byHash(hash);
  return token && token.revokedAt === undefined && token.expiresAt > clock.now() ? token : undefined;
}

function signature(content: string, key: string): string {
  return createHmac('sha256', key).update(`croft session ${content}`).digest('hex');
}

function cookie(value: string, maxAgeSeconds: number, secure: boolean): string {
  const name = secure ? secureName : plainName;
  return `${name}=${value}; Path=/; HttpOnly; SameSite=Strict; Max-Age=${maxAgeSeconds}${secure ? '; Secure' : ''}`;
}

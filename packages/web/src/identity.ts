/**
 * Who is asking: a bearer token, a session made from a token by the sign-in page, or, on a loopback listener, the local user
 * whose process holds the other end of the connection. Nobody else is anybody.
 */
import { sha256Hex } from '@croft/runtime/digest';
import { MINUTE, type Clock } from '@croft/runtime/clock';
import { CroftError } from '@croft/runtime/errors';
import { roleNames, type RoleName } from '@croft/protocol/api';
import { isLoopback, type Connection } from './connection.ts';
import type { Attempts } from './attempts.ts';
import { cookieOf, openSession } from './sessions.ts';

export interface Identity {
  /** Shown in the audit: a token's name, `local`, `anonymous`. */
  readonly name: string;
  readonly role: RoleName | undefined;
  /** Repositories it is limited to; empty means all. */
  readonly repos: readonly string[];
  readonly via: 'token' | 'session' | 'local' | 'nothing';
  /** Of the token behind it. */
  readonly tokenId?: string;
}

export interface KnownToken {
  readonly id: string;
  readonly name: string;
  readonly role: RoleName;
  readonly repos: readonly string[];
  readonly expiresAt: number;
  readonly lastUsedAt?: number | undefined;
  readonly revokedAt?: number | undefined;
}

export interface TokenBook {
  /** Found by the hash of the secret, so how long the search takes tells nothing about a secret. */
  byHash(sha256: string): Promise<KnownToken | undefined>;
  used(id: string, at: number): Promise<void>;
}

export interface IdentityOptions {
  readonly tokens: TokenBook;
  /** Looks up whose process is at the other end; absent where that cannot be told or must not count (behind a proxy). */
  readonly peerUid?: ((connection: Connection) => Promise<number | undefined>) | undefined;
  /** The user the farm runs as. */
  readonly ownUid: number | undefined;
  /** What somebody unknown may do. */
  readonly anonymous: 'none' | 'viewer';
  readonly attempts: Attempts;
  readonly sessionKey: string;
  readonly clock: Clock;
}

export type Identify = (request: Request, connection: Connection) => Promise<Identity>;

/** The function throws CroftError `unauthenticated` for a token that does not count (never repeating it), `exhausted` after too many such. */
export function createIdentify(options: IdentityOptions): Identify {
  return async (request, connection) => {
    const uid = await localUid(options, connection);
    const bearer = bearerOf(request);
    if (bearer !== undefined) return fromToken(await checkToken(bearer, { ...options, from: sourceOf(connection, uid) }), 'token');
    const session = await openSession(cookieOf(request), { ...options, uid });
    if (session) return fromToken(session, 'session');
    if (uid !== undefined && (uid === options.ownUid || uid === 0)) return { name: 'local', role: 'admin', repos: [], via: 'local' };
    return {
      name: uid === undefined ? 'anonymous' : `anonymous (local user ${uid})`,
      role: options.anonymous === 'viewer' ? 'viewer' : undefined,
      repos: [],
      via: 'nothing',
    };
  };
}

/** @throws CroftError `unauthenticated`, or `exhausted` after too many wrong ones `from` one place. A right one always passes. */
export async function checkToken(
  secret: string,
  { tokens, attempts, clock, from }: Pick<IdentityOptions, 'tokens' | 'attempts' | 'clock'> & { from: string },
): Promise<KnownToken> {
  const token = await tokens.byHash(sha256Hex(secret));
  if (!token) {
    attempts.check(from);
    attempts.failed(from);
    throw new CroftError('unauthenticated', 'this token is not known here', { hint: askForToken });
  }
  const now = clock.now();
  if (token.revokedAt !== undefined)
    throw new CroftError('unauthenticated', `the token "${token.name}" was revoked`, { hint: askForToken });
  if (token.expiresAt <= now) throw new CroftError('unauthenticated', `the token "${token.name}" has expired`, { hint: askForToken });
  if (now - (token.lastUsedAt ?? 0) >= MINUTE) await tokens.used(token.id, now);
  return token;
}

const askForToken = 'Ask an admin of this farm for one: croft token create.';

/** Where attempts are counted: a local user by number, anybody else by address. */
export function sourceOf(connection: Connection, uid: number | undefined): string {
  return uid === undefined ? connection.remoteAddress : `uid ${uid}`;
}

export async function localUid({ peerUid }: Pick<IdentityOptions, 'peerUid'>, connection: Connection): Promise<number | undefined> {
  return peerUid && isLoopback(connection.remoteAddress) && isLoopback(connection.localAddress) ? peerUid(connection) : undefined;
}

/** Each role may do what the ones before it may. */
export function hasRole({ role }: Pick<Identity, 'role'>, needed: RoleName): boolean {
  return role !== undefined && roleNames.indexOf(role) >= roleNames.indexOf(needed);
}

/** @throws CroftError `unauthenticated` for somebody unknown, `forbidden` for somebody with a lesser role. */
export function requireRole(who: Identity, needed: RoleName | 'anyone'): void {
  if (needed === 'anyone') return;
  if (hasRole(who, needed)) return;
  if (who.role !== undefined) {
    throw new CroftError('forbidden', `this needs the role ${needed}; ${who.name} is ${who.role}`, {
      hint: 'An admin of this farm can make a token with that role: croft token create.',
    });
  }
  throw new CroftError('unauthenticated', 'this farm does not know who you are', {
    hint: 'Sign in with a token, or send it as "Authorization: Bearer …". On the farm’s own machine, only the user who started it is let in without one.',
  });
}

function fromToken({ id, name, role, repos }: KnownToken, via: 'token' | 'session'): Identity {
  return { name, role, repos, via, tokenId: id };
}

function bearerOf(request: Request): string | undefined {
  const match = /^Bearer +(\S+) *$/i.exec(request.headers.get('authorization') ?? '');
  return match?.[1];
}

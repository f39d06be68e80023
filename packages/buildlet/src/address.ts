/** Where a buildlet is reached; plain data unless it is dialled, so that it can be stored with its machine. */
import type { Duplex } from 'node:stream';

export interface BuildletAddress {
  /** A Unix socket, else `host` and `port`. */
  readonly socketPath?: string | undefined;
  readonly host?: string | undefined;
  readonly port?: number | undefined;
  /** Gives a fresh connection each time, over which HTTP is spoken; for machines that cannot be reached, only called upon to call. */
  readonly dial?: Dial | undefined;
  /** TLS on the way to `host` and `port`. */
  readonly tls?: BuildletTls | undefined;
  /** What messages call the machine, and its `Host` when it is dialled. */
  readonly name?: string | undefined;
  /** For those that ask who it is; a buildlet does not. */
  readonly user?: string | undefined;
  readonly password: string;
  /** In the place of user and password: what somebody in front of the machine, the coordinator, wants to see. */
  readonly token?: string | undefined;
  /** Before every path, where the machine is behind somebody else: `/api/v1/sessions/S0123/machine`; no slash at the end. */
  readonly basePath?: string | undefined;
}

export type Dial = (waits: { readonly signal: AbortSignal }) => Promise<Duplex>;

/**
 * Only the one whose public key this certificate (PEM) holds; or whoever shows a chain from this authority (PEM), or from one that the
 * system trusts, and the right name; or, on loopback alone, anybody.
 */
export type BuildletTls =
  | { readonly pinned: string }
  | { readonly ca?: string | undefined; readonly serverName?: string | undefined }
  | { readonly unverified: true };

/** For messages; never the password. */
export function shownAddress({ socketPath, host, port, dial, name }: BuildletAddress): string {
  return name ?? (dial ? 'the other end of a dialled line' : (socketPath ?? `${host ?? '127.0.0.1'}:${port ?? 80}`));
}

/** The `Host` of requests. */
export function hostHeader({ socketPath, host = '127.0.0.1', port, dial, name = '', tls }: BuildletAddress): string {
  if (dial) return /^[A-Za-z0-9][A-Za-z0-9._-]{0,252}$/.test(name) ? name : 'buildlet';
  if (socketPath !== undefined) return 'localhost';
  const shown = host.includes(':') ? `[${host}]` : host;
  return tls && port === 443 ? shown : `${shown}:${port ?? 80}`;
}

/** What is asked for at this address. */
export function pathAt({ basePath = '' }: BuildletAddress, path: string): string {
  return basePath + path;
}

/** Nothing is shown to a machine that asks for nothing. */
export function authorization({ user = '', password, token }: BuildletAddress): Record<string, string> {
  if (token !== undefined) return { Authorization: `Bearer ${token}` };
  if (password === '') return {};
  return { Authorization: `Basic ${Buffer.from(`${user}:${password}`).toString('base64')}` };
}

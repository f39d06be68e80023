/** Refuses to serve where anybody could reach the farm without encryption or without saying who they are. */
import { CroftError } from '@croft/runtime/errors';
import { isLoopback } from './connection.ts';

export interface ServedAddress {
  readonly host: string;
  readonly tls: boolean;
  /** Whoever is unknown must sign in before they may change or, unless configured, see anything. */
  readonly signIn: boolean;
  /** The operator says that a proxy in front encrypts. */
  readonly behindProxy: boolean;
}

/** @throws CroftError `invalid` that names what is missing. */
export function assertSafeAddress({ host, tls, signIn, behindProxy }: ServedAddress): void {
  const loopback = isLoopbackHost(host);
  if (loopback && !behindProxy) return;
  const missing = [...(tls || behindProxy ? [] : ['TLS']), ...(signIn ? [] : ['sign-in'])];
  if (missing.length === 0) return;
  const why = loopback ? `${host} is served to others by a proxy` : `${host} can be reached from other machines`;
  throw new CroftError('invalid', `${why}, and ${missing.join(' and ')} ${missing.length > 1 ? 'are' : 'is'} not configured`, {
    hint: 'Nothing was started. Give a certificate and key (or say that a proxy in front encrypts) and require sign-in; or listen on 127.0.0.1. See docs/security.md.',
  });
}

export function isLoopbackHost(host: string): boolean {
  return host === 'localhost' || isLoopback(host.replace(/^\[|\]$/g, ''));
}

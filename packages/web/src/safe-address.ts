/** Refuses to serve tokens and pages in the clear where others could read along. */
import { CroftError } from '@croft/runtime/errors';
import { isLoopback } from './connection.ts';

export interface ServedAddress {
  readonly host: string;
  readonly tls: boolean;
  /** The operator says that a proxy in front encrypts. */
  readonly behindProxy: boolean;
}

/** @throws CroftError `invalid` */
export function assertSafeAddress({ host, tls, behindProxy }: ServedAddress): void {
  if (isLoopbackHost(host) || tls || behindProxy) return;
  throw new CroftError('invalid', `${host} can be reached from other machines, and TLS is not configured`, {
    hint: 'Nothing was started. Give a certificate and key, or say that a proxy in front encrypts; or listen on 127.0.0.1. See docs/security.md.',
  });
}

export function isLoopbackHost(host: string): boolean {
  return host === 'localhost' || isLoopback(host.replace(/^\[|\]$/g, ''));
}

/**
 * Who may speak to a buildlet at all. Any web page can make a browser post to a loopback address, also under a name of its own
 * that it rebinds to us: requests of pages are refused, and a TCP listener answers only to its own addresses.
 */
import type { IncomingMessage } from 'node:http';
import { isIP, type Socket } from 'node:net';
import { TLSSocket } from 'node:tls';
import { sameSecret } from '@croft/runtime/digest';
import { isLoopback } from '../settings/addresses.ts';
import { behindGate } from './gate.ts';

/** What is wrong with the request's origin; undefined when nothing is. */
export function foreignOrigin(request: IncomingMessage): string | undefined {
  const { host, origin } = request.headers;
  const site = request.headers['sec-fetch-site'];
  const socket: object = behindGate(request.socket)?.socket ?? request.socket;
  const { localAddress } = socket as Partial<Socket>;
  const secured = socket instanceof TLSSocket; // a name that is rebound to us fails at our certificate
  if (localAddress !== undefined && !secured && !isOwnHost(host ?? '', localAddress)) {
    return 'this buildlet is not known under that host name';
  }
  if (origin !== undefined && origin !== `${secured ? 'https' : 'http'}://${host}`) return 'requests of web pages are not served';
  if (site !== undefined && site !== 'same-origin' && site !== 'none') return 'requests of web pages are not served';
  return undefined;
}

/** HTTP Basic with any user name, compared in constant time. */
export function hasPassword(request: IncomingMessage, password: string): boolean {
  const encoded = /^Basic +([A-Za-z0-9+/=]+) *$/i.exec(request.headers.authorization ?? '')?.[1];
  const pair = Buffer.from(encoded ?? '', 'base64').toString('utf8');
  return sameSecret(pair.slice(pair.indexOf(':') + 1), password) && pair.includes(':');
}

/**
 * An empty `Host` cannot come from a browser; Go's programs send it on tunnels. On an open address any number is served: it may be
 * translated on the way, and a name that is rebound is none.
 */
function isOwnHost(host: string, localAddress: string): boolean {
  const name = host
    .replace(/:\d+$/, '')
    .replace(/^\[(.*)\]$/, '$1')
    .toLowerCase();
  if (!isLoopback(localAddress) && isIP(name) !== 0) return true;
  return name === '' || isLoopback(name) || name === localAddress.replace(/^::ffff:/, '');
}

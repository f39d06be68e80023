/** The way through an HTTP proxy, for networks that let nobody out otherwise: which one, and asking it. buildlet.md 1.15. */
import { BlockList, isIP, type Socket } from 'node:net';
import type { Waits } from '@croft/runtime/clock';
import { CroftError } from '@croft/runtime/errors';
import { parseHead } from '@croft/streams/revdial-switch';
import { isLoopback } from '../settings/addresses.ts';

export interface Place {
  readonly host: string;
  readonly port: number;
}

export interface Proxy extends Place {
  /** `user:password`, where the address had one. */
  readonly credentials: string | undefined;
}

const maxHeadBytes = 16 * 1024;
const proxyPort = 80;

/** As `HTTPS_PROXY` and `NO_PROXY` say; undefined when this place is reached without. @throws CroftError `invalid` */
export function proxyFor({ host, port }: Place, asked: { https?: string | undefined; none?: string | undefined }): Proxy | undefined {
  if (!asked.https || isLoopback(host) || isExcepted(host, port, asked.none ?? '')) return undefined;
  const url = URL.parse(asked.https.includes('://') ? asked.https : `http://${asked.https}`);
  if (url?.protocol !== 'http:' || !url.hostname) throw new CroftError('invalid', 'HTTPS_PROXY is not the address of an HTTP proxy');
  const credentials = url.username ? `${decodeURIComponent(url.username)}:${decodeURIComponent(url.password)}` : undefined;
  return { host: url.hostname.replace(/^\[(.*)\]$/, '$1'), port: Number(url.port || proxyPort), credentials };
}

function isExcepted(host: string, port: number, none: string): boolean {
  const name = host.toLowerCase();
  return none
    .toLowerCase()
    .split(/[\s,]+/)
    .filter(Boolean)
    .some((entry) => {
      if (entry === '*') return true;
      if (entry.includes('/')) return isWithin(host, entry);
      const [, plain = entry, only] = /^(.*?):(\d+)$/.exec(isIP(entry) === 6 ? '' : entry) ?? [];
      if (only !== undefined && Number(only) !== port) return false;
      const domain = plain.replace(/^\*?\./, '');
      return (name === domain && !/^\*?\./.test(plain)) || name.endsWith(`.${domain}`);
    });
}

function isWithin(host: string, range: string): boolean {
  const version = isIP(host);
  const [network = '', bits = ''] = range.split('/');
  const family = version === 6 ? 'ipv6' : 'ipv4';
  if (version === 0 || isIP(network) !== version || !/^\d{1,3}$/.test(bits) || Number(bits) > (version === 6 ? 128 : 32)) return false;
  const list = new BlockList();
  list.addSubnet(network, Number(bits), family);
  return list.check(host, family);
}

/** Asks the proxy at the other end of `socket` for a connection to `target`. @throws CroftError `unavailable` */
export async function askProxy(socket: Socket, { host, credentials }: Proxy, target: Place, waits: Waits): Promise<void> {
  const authority = `${target.host.includes(':') ? `[${target.host}]` : target.host}:${target.port}`;
  const proof = credentials === undefined ? '' : `Proxy-Authorization: Basic ${Buffer.from(credentials).toString('base64')}\r\n`;
  socket.write(`CONNECT ${authority} HTTP/1.1\r\nHost: ${host}\r\n${proof}\r\n`);
  const { status, statusText } = parseHead(await readHead(socket, waits));
  if (status !== 200) throw new CroftError('unavailable', `the proxy ${host} answered ${status} ${statusText}`);
}

/** The other side of the proxy waits for us to speak TLS: nothing may come behind the head. */
async function readHead(socket: Socket, { signal }: Waits): Promise<string> {
  let text = '';
  const { promise, resolve, reject } = Promise.withResolvers<string>();
  const onData = (piece: Buffer): void => {
    text += piece.toString('latin1');
    const end = text.indexOf('\r\n\r\n');
    if (end >= 0 && end + 4 === text.length) resolve(text.slice(0, end));
    else if (end >= 0) reject(new CroftError('unavailable', 'the proxy sent bytes that nobody asked for'));
    else if (text.length > maxHeadBytes) reject(new CroftError('unavailable', 'the proxy answered with a head without end'));
  };
  const onEnd = (): void => reject(new CroftError('unavailable', 'the proxy ended the connection'));
  const onAbort = (): void => reject(signal?.reason);
  signal?.addEventListener('abort', onAbort, { once: true });
  socket.on('data', onData).on('end', onEnd).on('error', reject);
  try {
    return await promise;
  } finally {
    signal?.removeEventListener('abort', onAbort);
    socket.pause();
    socket.removeListener('data', onData).removeListener('end', onEnd).removeListener('error', reject);
  }
}

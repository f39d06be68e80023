/** What Go's client asks of a buildlet, and where that is. @see buildlet.md 3.1 and 3.4 */
import { CroftError } from '@croft/runtime/errors';
import type { BuildletAddress } from '../address.ts';
import type { Question } from '../exchange.ts';
import { keyPairPassword, type KeyPair } from '../key-pair.ts';
import type { TakeOver } from '../take-over.ts';
import { goFileMode, goForm, type Pairs } from './wire-text.ts';

type Body = NonNullable<Question['body']>;

/** `host:port`, with TLS pinned to a key pair and its password, or plain and without one. */
export function goAddress(ipPort: string, keyPair?: KeyPair): BuildletAddress {
  const [, host = '', port] = /^(.*?)(?::(\d{1,5}))?$/.exec(ipPort) ?? [];
  const place = { host: host.replace(/^\[(.*)\]$/, '$1'), port: Number(port ?? (keyPair ? 443 : 80)) };
  return keyPair ? { ...place, tls: { pinned: keyPair.certificate }, password: keyPairPassword(keyPair) } : { ...place, password: '' };
}

export function ipPortOf({ socketPath, host, port, dial }: BuildletAddress): string {
  if (dial || socketPath !== undefined || host === undefined) return '';
  return `${host.includes(':') ? `[${host}]` : host}:${port ?? 80}`;
}

/** Without the port that its scheme stands for. */
export function urlOf(address: BuildletAddress): string {
  const { socketPath, tls, name } = address;
  if (socketPath !== undefined) return `unix:${socketPath}`;
  const place = ipPortOf(address) || (name ?? '');
  return tls ? `https://${place.replace(/:443$/, '')}` : `http://${place.replace(/:80$/, '')}`;
}

export function putQuestion(path: string, mode: number, content: AsyncIterable<Uint8Array> | string): Question {
  const query = goForm({ path, mode: String(goFileMode(mode)) });
  return { doing: `write ${path}`, method: 'PUT', path: `/write?${query}`, body: { type: 'application/octet-stream', content } };
}

export function unpackQuestion(method: 'PUT' | 'POST', dir: string, body: Body): Question {
  return { doing: `send files to "${dir}"`, method, path: `/writetgz?${goForm({ dir })}`, body };
}

/** @param inOneMember what buildlets of 2017 are to be told so that they make one gzip member */
export function tarQuestion(dir: string, inOneMember = false): Question {
  const query = goForm({ dir, pargzip: inOneMember ? '0' : undefined });
  return { doing: `fetch files of "${dir}"`, method: 'GET', path: `/tgz?${query}` };
}

export interface ListOptions {
  readonly recursive?: boolean | undefined;
  readonly digest?: boolean | undefined;
  /** Directories below the one that is listed, neither shown nor entered; no slash at either end. */
  readonly skip?: readonly string[] | undefined;
}

export function listQuestion(dir: string, { recursive = false, digest = false, skip }: ListOptions): Question {
  const query = goForm({ dir, recursive: String(recursive), digest: String(digest), skip });
  return { doing: `list "${dir}"`, method: 'GET', path: `/ls?${query}` };
}

export function formBody(pairs: Pairs): Body {
  return { type: 'application/x-www-form-urlencoded', content: goForm(pairs) };
}

export interface ForwardedRequest {
  readonly method: string;
  /** With the query. */
  readonly path: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly body?: AsyncIterable<Uint8Array> | string | undefined;
}

/** For one connection alone, or somebody's credentials. */
const notForwarded = /^(connection|keep-alive|host|authorization|proxy-.*|te|trailer|transfer-encoding|upgrade|x-buildlet-proxy)$/i;

export function forwardQuestion({ method, path, headers, body }: ForwardedRequest): Question {
  const kept = Object.fromEntries(Object.entries(headers).filter(([name]) => !notForwarded.test(name)));
  const typed = Object.entries(kept).find(([name]) => /^content-type$/i.test(name));
  if (typed) delete kept[typed[0]];
  const content = body === undefined ? undefined : { type: typed?.[1] ?? 'application/octet-stream', content: body };
  return { doing: `forward ${method} ${path}`, method, path, headers: kept, body: content };
}

export function sshRequest(user: string, authorizedKey: string): TakeOver {
  const headers = { 'Content-Length': '0', 'X-Go-Authorized-Key': authorizedKey, 'X-Go-Ssh-User': user };
  return { method: 'POST', path: '/connect-ssh', headers, refused: unlike('unexpected /connect-ssh response') };
}

export function proxyRequest(port: number, remoteName: string): TakeOver {
  if (remoteName === '')
    throw new CroftError('invalid', 'a port is reached by way of a coordinator only, under the name it gave the machine');
  const headers = { 'Content-Length': '0', 'X-Target-Port': String(port) };
  return { method: 'POST', path: '/tcpproxy', headers, refused: unlike('wanted 101 Switching Protocols; unexpected response') };
}

function unlike(what: string): TakeOver['refused'] {
  return ({ line, text }) => new CroftError('unavailable', `${what}: ${line}, ${text}`);
}

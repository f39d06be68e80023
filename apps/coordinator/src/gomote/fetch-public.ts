/**
 * Fetches what somebody names, on the server's behalf, and so never from an address that only the server reaches: those of its own
 * network, of its own machine, of its cloud (gomote-ssh.md XFER-3). The name is looked up once, and what was looked at is connected to.
 */
import { lookup } from 'node:dns';
import { request as requestHttp, type IncomingMessage } from 'node:http';
import { request as requestHttps } from 'node:https';
import { BlockList, isIP, type LookupFunction } from 'node:net';
import { once } from 'node:events';
import { CroftError } from '@croft/runtime/errors';

const maxRedirects = 5;
const headMs = 30_000;
const maxBytes = 8 * 1024 ** 3;

/** @throws CroftError `invalid` for an address that is not fetched, `unavailable` for an answer that is not 200; the body is cut at 8 GiB */
export async function fetchPublic(url: string, signal: AbortSignal): Promise<AsyncIterable<Uint8Array>> {
  let at = parse(url);
  for (let hops = 0; hops <= maxRedirects; hops += 1) {
    const answer = await get(at, signal);
    const { statusCode = 0, headers } = answer;
    if (statusCode === 200) return limited(answer);
    answer.destroy();
    if (statusCode < 300 || statusCode > 399 || !headers.location) throw new CroftError('unavailable', `${at.host} answers ${statusCode}`);
    at = parse(headers.location, at);
  }
  throw new CroftError('unavailable', `${at.host} leads on and on`);
}

function parse(text: string, base?: URL): URL {
  const url = URL.parse(text, base);
  if (!url || !/^https?:$/.test(url.protocol)) throw new CroftError('invalid', 'this is no address of the web');
  if (isIP(url.hostname.replace(/^\[|\]$/g, '')) !== 0 && !isPublic(url.hostname.replace(/^\[|\]$/g, ''))) throw notPublic(url.hostname);
  return url;
}

async function get(url: URL, signal: AbortSignal): Promise<IncomingMessage> {
  const send = url.protocol === 'https:' ? requestHttps : requestHttp;
  const request = send(url, { lookup: publicLookup, signal, agent: false, timeout: headMs });
  request.on('timeout', () => request.destroy(new CroftError('timeout', `${url.host} does not answer`)));
  request.end();
  const [answer] = (await once(request, 'response')) as [IncomingMessage];
  return answer;
}

const publicLookup: LookupFunction = (host, options, done) => {
  lookup(host, { ...options, all: true }, (error, found) => {
    const hidden = error ? undefined : found.find(({ address }) => !isPublic(address));
    const [first] = error ? [] : found;
    if (error || hidden || !first) return done(error ?? notPublic(host), '', 0);
    return options.all ? done(null, found) : done(null, first.address, first.family);
  });
};

function notPublic(host: string): CroftError {
  return new CroftError('invalid', `${host} is not reached by everybody, and so not fetched from here`);
}

async function* limited(answer: IncomingMessage): AsyncGenerator<Uint8Array> {
  let bytes = 0;
  for await (const piece of answer as AsyncIterable<Buffer>) {
    bytes += piece.length;
    if (bytes > maxBytes) throw new CroftError('too-large', `the file is larger than ${maxBytes} bytes`);
    yield piece;
  }
}

const hiddenNets = new BlockList();
for (const [net, bits] of [
  ['0.0.0.0', 8],
  ['10.0.0.0', 8],
  ['100.64.0.0', 10],
  ['127.0.0.0', 8],
  ['169.254.0.0', 16],
  ['172.16.0.0', 12],
  ['192.0.0.0', 24],
  ['192.168.0.0', 16],
  ['198.18.0.0', 15],
  ['224.0.0.0', 3],
] as const)
  hiddenNets.addSubnet(net, bits, 'ipv4');
/** All that are given to anybody lie in here; those that hold an IPv4 address are looked at as such. */
const givenNets = new BlockList();
givenNets.addSubnet('2000::', 3, 'ipv6');
const holding4 = new BlockList();
for (const [net, bits] of [
  ['64:ff9b::', 96],
  ['2001::', 23],
  ['2002::', 16],
] as const)
  holding4.addSubnet(net, bits, 'ipv6');

export function isPublic(address: string): boolean {
  if (isIP(address) === 4) return !hiddenNets.check(address, 'ipv4');
  return givenNets.check(address, 'ipv6') && !holding4.check(address, 'ipv6');
}

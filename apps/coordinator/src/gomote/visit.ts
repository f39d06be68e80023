/** One request that is answered by hand: who sent it from where, and how it ends. */
import type { ServerResponse } from 'node:http';
import type { Incoming, Outgoing } from '@croft/web/listener';
import type { Connection } from '@croft/web/connection';
import { guard, type GuardOptions } from '@croft/web/guard';
import { CroftError } from '@croft/runtime/errors';

export interface Visit {
  readonly incoming: Incoming;
  /** Over HTTP/2 it has the same methods. */
  readonly outgoing: ServerResponse;
  readonly connection: Connection;
  /** With the query, as it came. */
  readonly target: string;
  /** For those who look at heads alone. */
  readonly request: Request;
  /** For the audit trail. */
  readonly from: string;
  /** Aborted when the caller goes away before the answer is complete. */
  readonly gone: AbortSignal;
}

export interface VisitOptions extends GuardOptions {
  /** Somebody in front ends TLS, and says who was at its other end. */
  readonly behindProxy: boolean;
}

/** @throws CroftError `invalid` for a head that cannot be read, `forbidden` from a page of somebody else or under a name that is not ours */
export function receive(incoming: Incoming, outgoing: Outgoing, connection: Connection, options: VisitOptions): Visit {
  const gone = new AbortController();
  outgoing.once('close', () => {
    if (!outgoing.writableFinished) gone.abort(new CroftError('cancelled', 'the caller has gone away'));
  });
  outgoing.on('error', () => undefined); // told by `close`
  incoming.on('error', () => undefined); // told to whoever reads it
  const request = headOf(incoming, connection, options);
  guard(request, connection, { ...options, proves: (url) => fromProgram(request) || options.proves?.(url) === true });
  const from = sourceOf(incoming, connection, options);
  return { incoming, outgoing: outgoing as ServerResponse, connection, target: incoming.url ?? '/', request, from, gone: gone.signal };
}

/** A form that a page sends by itself has none of these. */
function fromProgram({ headers }: Request): boolean {
  return ['authorization', 'croft-epoch', 'x-buildlet-proxy'].some((name) => headers.has(name));
}

function headOf({ headers, method, url = '/' }: Incoming, { encrypted }: Connection, { behindProxy }: VisitOptions): Request {
  const kept = new Headers();
  const host = String(headers.host ?? headers[':authority'] ?? '');
  try {
    for (const [name, value] of Object.entries(headers)) if (!name.startsWith(':')) kept.set(name, String(value));
    return new Request(`${encrypted || behindProxy ? 'https' : 'http'}://${host}${url}`, { method: method ?? 'GET', headers: kept });
  } catch (error) {
    throw new CroftError('invalid', 'the address, the method or a header of this request is malformed', { cause: error });
  }
}

function sourceOf({ headers }: Incoming, { remoteAddress }: Connection, { behindProxy }: VisitOptions): string {
  const seen = behindProxy
    ? String(headers['x-forwarded-for'] ?? '')
        .split(',')
        .at(-1)
        ?.trim()
    : undefined;
  return seen ? `${seen.slice(0, 64)} through ${remoteAddress}` : remoteAddress;
}

/** @throws CroftError `too-large`, or `cancelled` when the caller goes away */
export async function readWhole({ incoming, gone }: Visit, limitBytes: number): Promise<Buffer> {
  const parts: Buffer[] = [];
  let bytes = 0;
  try {
    for await (const part of incoming as AsyncIterable<Buffer>) {
      bytes += part.length;
      if (bytes > limitBytes) break;
      parts.push(part);
    }
  } catch (error) {
    throw gone.aborted ? gone.reason : new CroftError('cancelled', 'the request was cut', { cause: error });
  }
  if (bytes > limitBytes) throw new CroftError('too-large', `the body is larger than ${limitBytes} bytes`);
  return Buffer.concat(parts);
}

const notPassed =
  /^(:.*|connection|keep-alive|host|authorization|cookie|croft-epoch|expect|forwarded|origin|proxy-.*|referer|sec-.*|te|trailer|transfer-encoding|upgrade|x-buildlet-proxy|x-forwarded-.*|x-real-ip)$/;

/** Those that are meant for the machine: neither who asks, nor with what they have signed in, nor what belongs to one connection. */
export function headersOn({ incoming: { headers } }: Visit): Record<string, string> {
  const named = String(headers.connection ?? '')
    .toLowerCase()
    .split(/[\s,]+/);
  const passed = Object.entries(headers).filter(([name]) => !notPassed.test(name) && !named.includes(name));
  return Object.fromEntries(passed.map(([name, value]) => [name, String(value)]));
}

export function hasBody(incoming: Incoming): boolean {
  if ('stream' in incoming) return !incoming.stream.endAfterHeaders;
  return incoming.headers['transfer-encoding'] !== undefined || Number(incoming.headers['content-length'] ?? 0) > 0;
}

/** A request of somebody who was let in, on its way to the machine of a session, and what comes back. */
import type { IncomingMessage, ServerResponse } from 'node:http';
import { passOn, passRaw, type ForwardedRequest } from '@croft/buildlet/pass-on';
import { epochHeader } from '@croft/protocol/runs';
import { MINUTE, SECOND, type Clock } from '@croft/runtime/clock';
import { CroftError } from '@croft/runtime/errors';
import { gather } from '@croft/streams/gather';
import { freeWhole } from '@croft/streams/release';
import { takeOver } from '@croft/web/take-over';
import type { Entered } from '../sessions/sessions.ts';
import type { Endpoint } from './endpoints.ts';
import { join } from './relay.ts';
import { execOn, runOn } from './start-command.ts';
import { hasBody, headersOn, readWhole, type Visit } from './visit.ts';

/** A machine may have to unpack what it was sent, or list all that it has, before it begins to answer. */
const headMs = 30 * MINUTE;
/** It may have to be asked to call back. */
const rawMs = 30 * SECOND;
export const maxRunBytes = 4 * 1024 * 1024;
const maxFormBytes = 10 * 1024 * 1024;

/** One request that was let in. */
export interface Passing {
  readonly visit: Visit;
  readonly endpoint: Endpoint;
  readonly entered: Entered;
  /** As the machine is asked, with the query. */
  readonly path: string;
  /** Ends it: the caller has gone away, or the session has ended. */
  readonly signal: AbortSignal;
}

/** The head of the machine's answer. @throws CroftError */
export async function ask({ visit, endpoint, entered, path, signal }: Passing, clock: Clock): Promise<IncomingMessage> {
  const { headers, body } = await requestOf(visit, endpoint, entered);
  const request = { method: visit.incoming.method ?? '', path, headers: { ...headers, [epochHeader]: String(entered.epoch) }, body };
  return passOn(entered.buildlet.address, request, { clock, signal, headMs: endpoint.typed ? Infinity : headMs });
}

async function requestOf(visit: Visit, { kind }: Endpoint, entered: Entered): Promise<Pick<ForwardedRequest, 'headers' | 'body'>> {
  const headers = headersOn(visit);
  if (kind === 'start-run') {
    const body = runOn(entered, String(await readWhole(visit, maxRunBytes)));
    return { headers: { ...headers, 'content-length': String(Buffer.byteLength(body)) }, body };
  }
  if (kind === 'exec') {
    const form = execOn(entered.ground, await readWhole(visit, maxFormBytes));
    return { headers: { ...headers, 'content-length': String(form.length) }, body: piecesOf(form) };
  }
  // The parser copies each piece, and whoever sends them on asks for the next when one was written.
  return { headers, body: hasBody(visit.incoming) ? gather(visit.incoming, { free: freeWhole, destroys: false }) : undefined };
}

/**
 * Early bytes, half-closes and back-pressure go through; the session's end cuts it.
 * @param upgrade what the caller is told that it is now
 */
export async function connectRaw(
  { visit, endpoint, entered, path, signal }: Passing,
  clock: Clock,
  upgrade = endpoint.upgrade ?? '',
): Promise<void> {
  const { incoming, outgoing } = visit;
  if (incoming.httpVersionMajor > 1) throw new CroftError('invalid', 'a connection is made raw over HTTP/1.1');
  if (hasBody(incoming)) throw new CroftError('invalid', 'a request for a raw connection has no body');
  const asked = { connection: 'Upgrade', upgrade: endpoint.upgrade ?? '' };
  const headers = { ...headersOn(visit), ...asked, 'content-length': '0', [epochHeader]: String(entered.epoch) };
  const machine = await passRaw(entered.buildlet.address, { method: 'POST', path, headers }, { clock, signal, headMs: rawMs });
  try {
    const caller = await takeOver(incoming as IncomingMessage, outgoing, { Upgrade: upgrade, Connection: 'Upgrade' });
    caller.allowHalfOpen = true;
    await join(caller, machine, entered.ended);
  } finally {
    machine.destroy();
  }
}

export function sendJson(outgoing: ServerResponse, value: unknown, { status = 200, headers = {} } = {}): void {
  const body = JSON.stringify(value);
  const type = { 'content-type': 'application/json; charset=utf-8', 'x-content-type-options': 'nosniff' };
  outgoing.writeHead(status, { ...headers, ...type, 'content-length': Buffer.byteLength(body) });
  outgoing.end(body);
}

async function* piecesOf(bytes: Buffer): AsyncGenerator<Buffer> {
  yield bytes;
}

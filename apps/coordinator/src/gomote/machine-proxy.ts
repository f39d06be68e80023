/**
 * `/api/v1/sessions/SESSION/machine/PATH`: the endpoints of a session's machine for those who may use it, as if it were theirs alone.
 * Bytes go through in constant memory; the machine learns neither who asks nor with what they have signed in.
 * @see docs/protocols/gomote.md#a-sessions-machine
 */
import type { IncomingMessage, ServerResponse } from 'node:http';
import { passOn, passRaw, type ForwardedRequest } from '@croft/buildlet/pass-on';
import { epochHeader } from '@croft/protocol/runs';
import { sessionNamePattern } from '@croft/protocol/sessions';
import { anySignal, MINUTE, SECOND, type Clock } from '@croft/runtime/clock';
import { CroftError, errorText } from '@croft/runtime/errors';
import type { Log } from '@croft/runtime/log';
import type { Random } from '@croft/runtime/random';
import { failureOf } from '@croft/web/failure';
import { requireRole, type Identify, type Identity } from '@croft/web/identity';
import type { RawHandler } from '@croft/web/listener';
import { takeOver } from '@croft/web/take-over';
import type { Audit } from '../auth/audit.ts';
import { nameOf } from '../routes/perform.ts';
import type { Entered, Sessions } from '../sessions/sessions.ts';
import { endpointOf, type Endpoint } from './endpoints.ts';
import { join, relay } from './relay.ts';
import { execOn, runOf, runOn } from './start-command.ts';
import { hasBody, headersOn, readWhole, receive, type Visit, type VisitOptions } from './visit.ts';

export interface MachineProxyDeps extends VisitOptions {
  readonly sessions: Pick<Sessions, 'enter'>;
  readonly identify: Identify;
  readonly audit: Pick<Audit, 'asked' | 'refused'>;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
}

/** A machine may have to unpack what it was sent, or list all that it has, before it begins to answer. */
const headMs = 30 * MINUTE;
/** It may have to be asked to call back. */
const rawMs = 30 * SECOND;
const connectsToldMs = 10 * MINUTE;
const maxTold = 10_000;
const maxRunBytes = 4 * 1024 * 1024;
const maxFormBytes = 10 * 1024 * 1024;
const pattern = /^\/api\/v1\/sessions\/([^/?]+)\/machine(\/[^?]*)(\?.*)?$/;

/** One request that was let in. */
interface Passing {
  readonly visit: Visit;
  readonly endpoint: Endpoint;
  readonly entered: Entered;
  /** As the machine is asked, with the query. */
  readonly path: string;
  /** Ends it: the caller has gone away, or the session has ended. */
  readonly signal: AbortSignal;
}

export function createMachineProxy(given: MachineProxyDeps): RawHandler {
  const deps = { ...given, audit: withoutRepeats(given.audit, given.clock) };
  return {
    takes: ({ url = '' }) => pattern.test(url),
    takesLong: true,
    answer(incoming, outgoing, connection) {
      const serve = async (): Promise<void> => passThrough(receive(incoming, outgoing, connection, deps), deps);
      void serve().catch((error: unknown) => {
        if (outgoing.headersSent || outgoing.destroyed) return void outgoing.destroy();
        const { status, headers, body } = failureOf(error, deps);
        sendJson(outgoing as ServerResponse, body, { status, headers });
      });
    },
  };
}

async function passThrough(visit: Visit, deps: MachineProxyDeps): Promise<void> {
  const [, name = '', path = '', query = ''] = pattern.exec(visit.target) ?? [];
  const who = await deps.identify(visit.request, visit.connection);
  const method = visit.incoming.method ?? '';
  const endpoint = endpointOf(method, path);
  if (!endpoint) throw new CroftError('not-found', `a session's machine offers no ${method.slice(0, 20)} ${path.slice(0, 100)}`);
  using entered = await enter(name, endpoint, { who, visit, deps });
  const { session, ended } = entered;
  const asked = endpoint.run === undefined ? path : path.replace(endpoint.run, runOf(session.id, endpoint.run));
  const passing: Passing = { visit, endpoint, entered, path: asked + query, signal: anySignal(visit.gone, ended) };
  if (endpoint.kind === 'raw') await connectRaw(passing, deps);
  else if (endpoint.kind === 'list-runs') await listRuns(passing);
  else await passBytes(passing, deps);
}

/** @throws CroftError `unauthenticated`, `forbidden`, `not-found`, `conflict`; what changes something is in the audit trail either way */
async function enter(name: string, { does }: Endpoint, { who, visit, deps }: Entering): Promise<Entered> {
  const entry = { who: nameOf(who), what: does ?? '', target: name.slice(0, 200), from: visit.from };
  try {
    requireRole(who, 'developer');
    if (!new RegExp(sessionNamePattern).test(name)) throw new CroftError('not-found', 'this is no name of a session');
    const entered = await deps.sessions.enter(who, name);
    if (does !== undefined) await deps.audit.asked({ ...entry, target: entered.session.alias });
    return entered;
  } catch (error) {
    if (does !== undefined) await deps.audit.refused(entry, errorText(error));
    throw error;
  }
}

interface Entering {
  readonly who: Identity;
  readonly visit: Visit;
  readonly deps: MachineProxyDeps;
}

async function passBytes({ visit, endpoint, entered, path, signal }: Passing, { clock }: MachineProxyDeps): Promise<void> {
  const { incoming } = visit;
  const { headers, body } = await requestOf(visit, endpoint, entered);
  const request = { method: incoming.method ?? '', path, headers: { ...headers, [epochHeader]: String(entered.epoch) }, body };
  const answer = await passOn(entered.buildlet.address, request, { clock, signal, headMs: endpoint.typed ? Infinity : headMs });
  await relay(answer, visit, signal);
}

async function requestOf(visit: Visit, { kind }: Endpoint, { ground }: Entered): Promise<Pick<ForwardedRequest, 'headers' | 'body'>> {
  const headers = headersOn(visit);
  if (kind === 'start-run') {
    const body = runOn(ground, String(await readWhole(visit, maxRunBytes)));
    return { headers: { ...headers, 'content-length': String(Buffer.byteLength(body)) }, body };
  }
  if (kind === 'exec') {
    const form = execOn(ground, await readWhole(visit, maxFormBytes));
    return { headers: { ...headers, 'content-length': String(form.length) }, body: piecesOf(form) };
  }
  return { headers, body: hasBody(visit.incoming) ? (visit.incoming as AsyncIterable<Buffer>) : undefined };
}

/** Early bytes, half-closes and back-pressure go through; the session's end cuts it. */
async function connectRaw({ visit, endpoint, entered, path, signal }: Passing, { clock }: MachineProxyDeps): Promise<void> {
  const { incoming, outgoing } = visit;
  if (incoming.httpVersionMajor > 1) throw new CroftError('invalid', 'a connection is made raw over HTTP/1.1');
  if (hasBody(incoming)) throw new CroftError('invalid', 'a request for a raw connection has no body');
  const upgrade = { connection: 'Upgrade', upgrade: endpoint.upgrade ?? '' };
  const headers = { ...headersOn(visit), ...upgrade, 'content-length': '0', [epochHeader]: String(entered.epoch) };
  const machine = await passRaw(entered.buildlet.address, { method: 'POST', path, headers }, { clock, signal, headMs: rawMs });
  try {
    const caller = await takeOver(incoming as IncomingMessage, outgoing, upgrade);
    caller.allowHalfOpen = true;
    await join(caller, machine, entered.ended);
  } finally {
    machine.destroy();
  }
}

/** Only those of this session: what else a machine remembers is nobody's business. */
async function listRuns({ visit: { outgoing }, entered, signal }: Passing): Promise<void> {
  const runs = await entered.buildlet.runs({ signal });
  const own = runs.filter(({ id }) => id.startsWith(`${entered.session.id}.`));
  sendJson(outgoing, { runs: own });
}

function sendJson(outgoing: ServerResponse, value: unknown, { status = 200, headers = {} } = {}): void {
  const body = JSON.stringify(value);
  const type = { 'content-type': 'application/json; charset=utf-8', 'x-content-type-options': 'nosniff' };
  outgoing.writeHead(status, { ...headers, ...type, 'content-length': Buffer.byteLength(body) });
  outgoing.end(body);
}

async function* piecesOf(bytes: Buffer): AsyncGenerator<Buffer> {
  yield bytes;
}

/** A page behind a forwarded port makes hundreds of connections: those of one person to one session are told once in a while. */
function withoutRepeats(audit: MachineProxyDeps['audit'], clock: Clock): MachineProxyDeps['audit'] {
  const told = new Map<string, number>();
  return {
    refused: (entry, why) => audit.refused(entry, why),
    async asked(entry) {
      const key = JSON.stringify(entry);
      const now = clock.monotonic();
      if (entry.what === 'session.connect' && now - (told.get(key) ?? -Infinity) < connectsToldMs) return;
      await audit.asked(entry);
      if (told.size >= maxTold) told.clear();
      told.set(key, now);
    },
  };
}

/**
 * The v1 protocol of Go's gomote (gomote-ssh.md 5): `/buildlet/create` and `/buildlet/list`, and requests for a borrowed machine at any
 * address of the port, marked with `X-Buildlet-Proxy`. Codes and texts are Go's, whose clients print them.
 * @see docs/protocols/gomote.md#v1
 */
import type { IncomingMessage, ServerResponse } from 'node:http';
import { anySignal, type Clock } from '@croft/runtime/clock';
import { CroftError, errorText, isCode } from '@croft/runtime/errors';
import type { Log } from '@croft/runtime/log';
import { isLoopback } from '@croft/web/connection';
import { requireRole, type Identity } from '@croft/web/identity';
import type { RawHandler } from '@croft/web/listener';
import type { Asked, Audit } from '../auth/audit.ts';
import type { Farmer } from '../originals/farmer.ts';
import { nameOf } from '../routes/perform.ts';
import { goJson } from '../routes/legacy-results.ts';
import type { Entered, Sessions } from '../sessions/sessions.ts';
import { endpointOf, type Endpoint } from './endpoints.ts';
import { ask, connectRaw } from './pass.ts';
import { relay } from './relay.ts';
import { sendText, TextAnswer } from './text-answer.ts';
import { createInstance } from './v1-create.ts';
import { instanceOf } from './v1-instance.ts';
import { personOf, type PeopleDeps, type V1Person } from './v1-people.ts';
import { receive, type Visit, type VisitOptions } from './visit.ts';

export interface V1Deps extends VisitOptions, PeopleDeps {
  readonly sessions: Sessions;
  readonly farmer: Pick<Farmer, 'builders' | 'hosts'>;
  readonly audit: Pick<Audit, 'asked' | 'refused'>;
  readonly clock: Clock;
  readonly log: Log;
}

const halting: Endpoint = { kind: 'bytes', does: 'session.end' };
/** Of a machine's JSON about a failure. */
const maxErrorBytes = 64 * 1024;

export function createV1(deps: V1Deps): RawHandler {
  return {
    takes: ({ url = '', headers }) => Boolean(headers['x-buildlet-proxy']) || /^\/buildlet\/(create|list)(\?|$)/.test(url),
    takesLong: true,
    answer(incoming, outgoing, connection) {
      const serve = async (): Promise<void> => answer(receive(incoming, outgoing, connection, deps), deps);
      void serve().catch((error: unknown) => turnAway(outgoing as ServerResponse, error, deps));
    },
  };
}

async function answer(visit: Visit, deps: V1Deps): Promise<void> {
  assertPrivate(visit, deps);
  const person = await personOf(visit.request.headers.get('authorization'), visit.from, deps);
  requireRole(person.who, 'developer');
  const proxied = visit.request.headers.get('x-buildlet-proxy');
  if (proxied) return proxy(visit, { person, name: proxied }, deps);
  if (new URL(visit.request.url).pathname === '/buildlet/create') return createInstance(visit, person, deps);
  return list(visit, person, deps);
}

/** A password, or a machine, in the clear is for this machine alone. */
function assertPrivate({ connection }: Visit, { behindProxy }: V1Deps): void {
  const { encrypted, remoteAddress, localAddress } = connection;
  if (encrypted || behindProxy || (isLoopback(remoteAddress) && isLoopback(localAddress))) return;
  throw new TextAnswer(400, 'https required');
}

async function list({ incoming, outgoing }: Visit, { who, user }: V1Person, { sessions }: V1Deps): Promise<void> {
  if (incoming.method !== 'GET') throw new TextAnswer(400, 'GET required');
  const own = (await sessions.list(who, { mine: true })).filter(({ state }) => state === 'active');
  const instances = own.map((session) => instanceOf(session, user)).toSorted((one, other) => (one.Name < other.Name ? -1 : 1));
  outgoing.setHeader('content-type', 'application/json; charset=utf-8');
  outgoing.end(`${goJson(instances).replaceAll('\t', '  ')}\n`);
}

interface Proxied {
  readonly person: V1Person;
  readonly name: string;
}

async function proxy(visit: Visit, { person: { who }, name }: Proxied, deps: V1Deps): Promise<void> {
  const { incoming, outgoing, target } = visit;
  const method = incoming.method ?? '';
  const [path = ''] = target.split('?');
  const isHalt = method === 'POST' && path === '/halt';
  const isTcp = method === 'POST' && path === '/tcpproxy';
  const endpoint = isHalt ? halting : endpointOf(method, isTcp ? '/connect' : path);
  if (!endpoint) throw new TextAnswer(404, '404 page not found');
  using entered = await enter({ who: nameOf(who), what: endpoint.does ?? '', target: name, from: visit.from }, who, deps);
  if (isHalt) {
    await deps.sessions.end(who, entered.session.id, 'destroyed with gomote');
    return void outgoing.end();
  }
  const signal = anySignal(visit.gone, entered.ended);
  const passing = { visit, endpoint, entered, path: target, signal };
  if (isTcp) return connectRaw({ ...passing, path: connectPath(visit, entered) }, deps.clock, 'tcpproxy');
  if (endpoint.kind === 'raw') return connectRaw(passing, deps.clock);
  await passBack(await answered(passing, deps), visit, signal);
}

/** Renewal comes after the owner check, other than in Go. @throws TextAnswer in the words of V1-10 */
async function enter(entry: Asked, who: Identity, { audit, sessions }: V1Deps): Promise<Entered> {
  const changes = entry.what !== '';
  try {
    const entered = await sessions.enter(who, entry.target);
    if (changes) await audit.asked({ ...entry, target: entered.session.alias });
    return entered;
  } catch (error) {
    if (changes) await audit.refused({ ...entry, target: entry.target.slice(0, 200) }, errorText(error));
    if (isCode(error, 'not-found') || isCode(error, 'conflict')) throw new TextAnswer(502, 'unknown or expired buildlet');
    if (isCode(error, 'forbidden')) throw new TextAnswer(401, "you don't own that buildlet");
    throw error;
  }
}

function connectPath({ incoming }: Visit, { session, ground }: Entered): string {
  const port = String(incoming.headers['x-target-port'] ?? '');
  if (!/^\d{1,5}$/.test(port) || Number(port) > 65_535) throw new TextAnswer(400, 'invalid or missing X-Target-Port');
  if (ground.speaks === 'go') throw new TextAnswer(400, `unsupported non-VM host type ${JSON.stringify(session.hostType ?? '')}`);
  return `/connect?port=${port}`;
}

async function answered(passing: Parameters<typeof ask>[0], { clock, log }: V1Deps): Promise<IncomingMessage> {
  try {
    return await ask(passing, clock);
  } catch (error) {
    if (passing.signal.aborted) throw error;
    log.warn('machine not reached for gomote', { session: passing.entered.session.id, error: errorText(error) });
    throw new TextAnswer(502, `(golang.org/issue/28365): gomote proxy error: ${errorText(error)}`);
  }
}

/** A failure that the machine tells in our JSON, since it was shown an epoch, is text with Go's status to Go's clients. */
async function passBack(given: IncomingMessage, visit: Visit, signal: AbortSignal): Promise<void> {
  const { statusCode = 0, headers } = given;
  if (statusCode < 400 || !headers['content-type']?.startsWith('application/json')) return relay(given, visit, signal);
  const parts: Buffer[] = [];
  for await (const part of given as AsyncIterable<Buffer>)
    if (parts.reduce((sum, { length }) => sum + length, 0) < maxErrorBytes) parts.push(part);
  const text = Buffer.concat(parts).toString('utf8');
  const { message = text } = objectIn(text) as { message?: string };
  sendText(visit.outgoing, { status: [400, 403, 404, 413].includes(statusCode) ? statusCode : 500, message });
}

function objectIn(text: string): object {
  try {
    const value: unknown = JSON.parse(text);
    return typeof value === 'object' && value !== null ? value : {};
  } catch {
    return {};
  }
}

function turnAway(outgoing: ServerResponse, error: unknown, { log }: V1Deps): void {
  if (outgoing.headersSent || outgoing.destroyed) return void outgoing.destroy();
  if (error instanceof TextAnswer) return sendText(outgoing, error);
  if (error instanceof CroftError && error.code !== 'internal')
    return sendText(outgoing, { status: statusOf(error), message: error.message });
  log.error('gomote request failed', { error: errorText(error), stack: error instanceof Error ? error.stack : undefined });
  sendText(outgoing, { status: 500, message: 'something is wrong inside the farm' });
}

function statusOf({ code }: CroftError): number {
  if (code === 'invalid') return 400;
  if (code === 'forbidden') return 403;
  if (code === 'unauthenticated') return 401;
  return code === 'too-large' ? 413 : 500;
}

/**
 * Where machines that dial in knock: `/reverse` for the control line, `/revdial` for each connection that is asked for over it. Codes,
 * texts and their order are Go's (buildlet.md 2.4, 2.5), whose buildlets print them. @see docs/protocols/revdial.md
 */
import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Socket } from 'node:net';
import type { Arrival, ReverseDesk } from '@croft/fleet/reverse-desk';
import { errorText, isCode } from '@croft/runtime/errors';
import type { Log } from '@croft/runtime/log';
import type { Attempts } from '@croft/web/attempts';
import type { Connection } from '@croft/web/connection';
import type { Incoming, Outgoing, RawHandler } from '@croft/web/listener';
import { takeOver } from '@croft/web/take-over';
import type { Audit } from '../auth/audit.ts';
import type { MachineKeys } from '../auth/machine-keys.ts';
import type { BuilderKeys } from '../originals/builder-keys.ts';
import { readArrival } from './read-arrival.ts';

export interface DoorDeps {
  readonly desk: Pick<ReverseDesk, 'refuse' | 'receive' | 'claim'>;
  readonly keys: Pick<MachineKeys, 'lets'>;
  /** Go's; undefined where they are not accepted. */
  readonly goKeys: Pick<BuilderKeys, 'check'> | undefined;
  /** Somebody in front ends TLS. */
  readonly behindProxy: boolean;
  /** Wrong keys, by where they come from. */
  readonly attempts: Attempts;
  readonly audit: Pick<Audit, 'refused'>;
  readonly log: Log;
}

/** An answer in Go's form: plain text and a line feed. */
class Refusal extends Error {
  readonly status: number;

  constructor(status: number, text: string) {
    super(text);
    this.status = status;
  }
}

/** One request. */
interface Visit {
  readonly incoming: Incoming;
  readonly outgoing: Outgoing;
  readonly connection: Connection;
  readonly from: string;
}

export function createReverseDoor(deps: DoorDeps): RawHandler {
  return {
    takes: ({ url = '' }) => wantsLine(url) || /^\/revdial(?:\?|$)/.test(url),
    answer(incoming, outgoing, connection) {
      const visit = { incoming, outgoing, connection, from: fromOf(incoming, connection, deps) };
      void knock(visit, deps).catch((error: unknown) => turnAway(visit, error, deps));
    },
  };
}

function wantsLine(url: string): boolean {
  return /^\/reverse(?:\?|$)/.test(url);
}

async function knock(visit: Visit, deps: DoorDeps): Promise<void> {
  const { incoming, connection } = visit;
  const url = incoming.url ?? '';
  const line = wantsLine(url);
  if (!connection.encrypted && !deps.behindProxy)
    throw new Refusal(500, line ? 'buildlet registration requires SSL' : 'handler requires TLS');
  if (incoming.method !== 'GET') throw new Refusal(405, 'expected GET request to revdial conn handler');
  if (incoming.httpVersionMajor > 1) throw new Refusal(400, 'machines dial in over HTTP/1.1');
  const { origin, 'sec-fetch-site': site } = incoming.headers;
  if (origin !== undefined || site !== undefined) throw new Refusal(403, 'not for web pages');
  if (connection.stopping.aborted) throw new Refusal(503, 'the coordinator is stopping');
  if (line) return register(visit, deps);
  const pickUp = deps.desk.claim(new URL(url, 'http://coordinator').searchParams);
  if (!pickUp) throw new Refusal(400, 'unknown dialer');
  pickUp.deliver(await raw(visit));
}

async function register(visit: Visit, deps: DoorDeps): Promise<void> {
  const read = readArrival(visit.incoming.headers);
  if ('refusal' in read) throw new Refusal(400, read.refusal);
  const arrival: Arrival = { ...read.arrival, from: visit.from };
  await assertKey(arrival, read.key, deps);
  const why = deps.desk.refuse(arrival);
  if (why !== undefined) {
    deps.log.warn('machine refused', { ...arrival, why });
    throw new Refusal(409, why);
  }
  deps.desk.receive(arrival, await raw(visit, { 'Croft-Revdial': '1' }));
}

/** @throws Refusal that never tells a key, nor whether the host type or the key is wrong */
async function assertKey({ hostType, host, from }: Arrival, key: string, { keys, goKeys, attempts, audit }: DoorDeps): Promise<void> {
  try {
    attempts.check(from);
  } catch (error) {
    throw isCode(error, 'exhausted') ? new Refusal(429, 'too many wrong keys from here, wait some minutes') : error;
  }
  // An empty key is that of an empty master key, which lets in nobody here.
  if (key !== '' && ((await keys.lets(key, hostType)) || goKeys?.check(key, hostType) === 'builder')) return;
  attempts.failed(from);
  await audit.refused({ who: `machine ${host.slice(0, 100)}`, what: 'machine.join', target: hostType, from }, 'wrong key');
  throw new Refusal(412, 'invalid build key');
}

function raw({ incoming, outgoing }: Visit, headers?: Readonly<Record<string, string>>): Promise<Socket> {
  return takeOver(incoming as IncomingMessage, outgoing as ServerResponse, headers);
}

function turnAway({ outgoing, from }: Visit, error: unknown, { log }: DoorDeps): void {
  const known = error instanceof Refusal;
  if (!known) log.warn('machine not received', { from, error: errorText(error) });
  if (outgoing.headersSent || outgoing.destroyed) return;
  const { status, message } = known ? error : new Refusal(503, 'not ready, try again');
  outgoing.statusCode = status;
  outgoing.setHeader('content-type', 'text/plain; charset=utf-8');
  outgoing.setHeader('x-content-type-options', 'nosniff');
  if (status === 405) outgoing.setHeader('allow', 'GET');
  outgoing.end(`${message}\n`);
}

function fromOf({ headers }: Incoming, { remoteAddress }: Connection, { behindProxy }: DoorDeps): string {
  const seen = behindProxy
    ? String(headers['x-forwarded-for'] ?? '')
        .split(',')
        .at(-1)
        ?.trim()
    : '';
  return seen ? seen.slice(0, 64) : remoteAddress;
}

/**
 * `/api/v1/sessions/SESSION/machine/PATH`: the endpoints of a session's machine for those who may use it, as if it were theirs alone.
 * Bytes go through in constant memory; the machine learns neither who asks nor with what they have signed in.
 * @see docs/protocols/gomote.md#a-sessions-machine
 */
import type { ServerResponse } from 'node:http';
import { sessionNamePattern } from '@croft/protocol/sessions';
import { anySignal, MINUTE, type Clock } from '@croft/runtime/clock';
import { CroftError, errorText } from '@croft/runtime/errors';
import type { Log } from '@croft/runtime/log';
import type { Random } from '@croft/runtime/random';
import { failureOf } from '@croft/web/failure';
import { requireRole, type Identify, type Identity } from '@croft/web/identity';
import type { RawHandler } from '@croft/web/listener';
import type { Audit } from '../auth/audit.ts';
import { nameOf } from '../routes/perform.ts';
import type { Entered, Sessions } from '../sessions/sessions.ts';
import { endpointOf, type Endpoint } from './endpoints.ts';
import { ask, connectRaw, sendJson, type Passing } from './pass.ts';
import { relay } from './relay.ts';
import { serveRunOnGo } from './runs-on-go.ts';
import { runOf } from './start-command.ts';
import { receive, type Visit, type VisitOptions } from './visit.ts';

export interface MachineProxyDeps extends VisitOptions {
  readonly sessions: Pick<Sessions, 'enter'>;
  readonly identify: Identify;
  readonly audit: Pick<Audit, 'asked' | 'refused'>;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
}

const connectsToldMs = 10 * MINUTE;
const maxTold = 10_000;
const pattern = /^\/api\/v1\/sessions\/([^/?]+)\/machine(\/[^?]*)(\?.*)?$/;

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
  const asked = endpoint.run === undefined ? path : `/runs/${runOf(session.id, endpoint.run)}${path.slice(`/runs/${endpoint.run}`.length)}`;
  const passing: Passing = { visit, endpoint, entered, path: asked + query, signal: anySignal(visit.gone, ended) };
  if (endpoint.kind === 'raw') await connectRaw(passing, deps.clock);
  else if (endpoint.kind === 'list-runs') await listRuns(passing);
  else if (endpoint.run !== undefined && entered.ground.speaks === 'go') await serveRunOnGo(passing);
  else await relay(await ask(passing, deps.clock), visit, passing.signal);
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

/** Only those of this session: what else a machine remembers is nobody's business. */
async function listRuns({ visit: { outgoing }, entered, signal }: Passing): Promise<void> {
  const runs = await entered.buildlet.runs({ signal });
  const own = runs.filter(({ id }) => id.startsWith(`${entered.session.id}.`));
  sendJson(outgoing, { runs: own });
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

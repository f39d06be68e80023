/**
 * Where a page's terminal knocks: `GET /api/v1/sessions/SESSION/terminal` as a WebSocket. Browsers let any page open one to anywhere and send
 * our cookies with it, so it must come from a page of ours and say so; then it passes the gates of every other request.
 */
import { parseBuildId } from '@croft/domain/names';
import { operations } from '@croft/protocol/operations';
import { terminalQuerySchema } from '@croft/protocol/terminal';
import { anySignal, type Clock } from '@croft/runtime/clock';
import { CroftError, errorText, isCode } from '@croft/runtime/errors';
import type { Log } from '@croft/runtime/log';
import type { Random } from '@croft/runtime/random';
import { parseInput } from '@croft/web/body';
import type { Connection } from '@croft/web/connection';
import { failureOf } from '@croft/web/failure';
import { requireRole, type Identity } from '@croft/web/identity';
import type { Incoming, Outgoing, RawHandler } from '@croft/web/listener';
import { acceptWebSocket, asksForWebSocket, type WebSocket } from '@croft/web/web-socket';
import type { Auth } from '../auth/auth.ts';
import { receive, type VisitOptions } from '../gomote/visit.ts';
import { nameOf } from '../routes/perform.ts';
import type { Sessions } from '../sessions/sessions.ts';
import type { ShellPlace, Shells } from '../sessions/shells.ts';
import { refuse, serveTerminal } from './serve-terminal.ts';

export interface TerminalDoorDeps extends VisitOptions {
  readonly auth: Pick<Auth, 'identify' | 'audit'>;
  readonly sessions: Pick<Sessions, 'enter' | 'builds'>;
  readonly shells: Pick<Shells, 'open'>;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
}

const address = /^\/api\/v1\/sessions\/([A-Za-z0-9][A-Za-z0-9._-]{0,219})\/terminal(?:\?|$)/;
const term = 'xterm-256color';

interface Call {
  readonly session: string;
  readonly query: ReturnType<typeof readQuery>;
  readonly who: Identity;
  readonly from: string;
}

export function createTerminalDoor(deps: TerminalDoorDeps): RawHandler {
  return {
    takes: (incoming) => asksForWebSocket(incoming) && address.test(incoming.url ?? ''),
    answer(incoming, outgoing, connection) {
      const line = { incoming, outgoing, connection };
      void knock(line, deps).then(
        (call) => enter(call, line, deps),
        (error: unknown) => turnAway(outgoing, error, deps),
      );
    },
  };
}

/** @throws CroftError for whoever must not even be answered as a WebSocket */
async function knock(line: Line, deps: TerminalDoorDeps): Promise<Call> {
  const { incoming, outgoing, connection } = line;
  const [, session = ''] = address.exec(incoming.url ?? '') ?? [];
  if (incoming.httpVersionMajor > 1) throw new CroftError('invalid', 'terminals come over HTTP/1.1');
  if (connection.stopping.aborted) throw new CroftError('unavailable', 'the farm is stopping');
  let entry = { who: 'unknown', what: 'session.shell', target: session, from: connection.remoteAddress };
  try {
    const { request, from } = receive(incoming, outgoing, connection, deps);
    entry = { ...entry, from };
    if (request.headers.get('origin') === null)
      throw new CroftError('forbidden', 'a terminal must come from a page of this farm and say so (Origin)');
    const who = await deps.auth.identify(request, connection);
    entry = { ...entry, who: nameOf(who) };
    requireRole(who, operations['session.terminal'].role);
    return { session, query: readQuery(request.url), who, from };
  } catch (error) {
    if (isCode(error, 'forbidden') || isCode(error, 'unauthenticated')) await deps.auth.audit.refused(entry, errorText(error));
    throw error;
  }
}

function readQuery(url: string): ReturnType<typeof terminalQuerySchema.parse> {
  return parseInput(terminalQuerySchema, Object.fromEntries(new URL(url).searchParams), 'the query');
}

interface Line {
  readonly incoming: Incoming;
  readonly outgoing: Outgoing;
  readonly connection: Connection;
}

async function enter(call: Call, { incoming, outgoing, connection }: Line, deps: TerminalDoorDeps): Promise<void> {
  let socket: WebSocket;
  try {
    socket = await acceptWebSocket(incoming, outgoing);
  } catch (error) {
    deps.log.debug('no terminal', { error });
    return;
  }
  const { session, who, from, query } = call;
  const { cols, rows, run } = query;
  try {
    using entered = await enterNamed(session, who, deps.sessions);
    const signal = anySignal(entered.ended, connection.stopping);
    const wish = { run, terminal: { cols, rows, term }, by: { who: nameOf(who), from } };
    await using shell = await deps.shells.open(who, entered, wish, { signal });
    await serveTerminal(socket, shell, { from: query.from, clock: deps.clock, log: deps.log, signal });
  } catch (error) {
    refuse(socket, error);
  }
}

/** The machine of a build is called `build-` and its id. */
function enterNamed(name: string, who: Identity, sessions: TerminalDoorDeps['sessions']): Promise<ShellPlace> {
  const [, build] = /^build-(B[0-9a-f]{16})$/.exec(name) ?? [];
  return build === undefined ? sessions.enter(who, name) : sessions.builds.enter(who, parseBuildId(build));
}

function turnAway(outgoing: Outgoing, error: unknown, { log, random }: TerminalDoorDeps): void {
  if (outgoing.headersSent || outgoing.destroyed) return;
  const { status, body } = failureOf(error, { log, random });
  outgoing.statusCode = status;
  outgoing.setHeader('content-type', 'application/json; charset=utf-8');
  outgoing.setHeader('x-content-type-options', 'nosniff');
  outgoing.setHeader('connection', 'close');
  outgoing.end(JSON.stringify(body));
}

/** One call of the v2 protocol: who makes it, the session it is about, and what failures are called (gomote-ssh.md 6.1, 6.3). */
import { Code, ConnectError, type HandlerContext } from '@connectrpc/connect';
import { anySignal } from '@croft/runtime/clock';
import { CroftError, errorText, isCode } from '@croft/runtime/errors';
import type { Connection } from '@croft/web/connection';
import { guard } from '@croft/web/guard';
import { requireRole, type Identify, type Identity } from '@croft/web/identity';
import type { Audit } from '../auth/audit.ts';
import { nameOf } from '../routes/perform.ts';
import type { Entered, Sessions } from '../sessions/sessions.ts';
import type { VisitOptions } from './visit.ts';

export interface CallDeps extends VisitOptions {
  readonly sessions: Sessions;
  readonly identify: Identify;
  readonly audit: Pick<Audit, 'asked' | 'refused'>;
}

export interface Call {
  readonly who: Identity;
  /** Where the caller finds this farm, `https://farm.example:443`. */
  readonly origin: string;
  readonly from: string;
  /** The caller has gone away, or its time is over. */
  readonly signal: AbortSignal;
}

/**
 * Only a token counts: not the user behind the connection, and not what headers of a proxy say, which anybody could send.
 * @throws ConnectError
 */
export async function callOf(
  { url, requestMethod: method, requestHeader, signal }: HandlerContext,
  connection: Connection,
  deps: CallDeps,
): Promise<Call> {
  const given = new URL(url);
  const origin = `${connection.encrypted || deps.behindProxy ? 'https' : 'http'}://${given.host}`;
  try {
    const headers = new Headers(requestHeader);
    headers.delete('cookie');
    const request = new Request(`${origin}${given.pathname}`, { method, headers });
    guard(request, connection, deps);
    if (!/^Bearer +\S/i.test(headers.get('authorization') ?? ''))
      throw new ConnectError('request does not contain the required authentication', Code.Unauthenticated);
    const who = await deps.identify(request, connection);
    requireRole(who, 'developer');
    return { who, origin, from: connection.remoteAddress, signal };
  } catch (error) {
    throw toConnect(error);
  }
}

/** What it changes is in the audit trail; disposing ends the use of the session. @throws ConnectError */
export async function enter(
  call: Call,
  gomoteId: string,
  deps: CallDeps,
  does?: string,
): Promise<Entered & { readonly signal: AbortSignal }> {
  const entry = { who: nameOf(call.who), what: does ?? '', target: gomoteId.slice(0, 200), from: call.from };
  try {
    const entered = await deps.sessions.enter(call.who, gomoteId);
    if (does !== undefined) await deps.audit.asked({ ...entry, target: entered.session.alias });
    return { ...entered, signal: anySignal(call.signal, entered.ended), [Symbol.dispose]: () => entered[Symbol.dispose]() };
  } catch (error) {
    if (does !== undefined) await deps.audit.refused(entry, errorText(error));
    throw ofSession(error);
  }
}

/** In Go's words. */
export function ofSession(error: unknown): ConnectError {
  if (isCode(error, 'not-found') || isCode(error, 'conflict'))
    return new ConnectError('specified gomote instance does not exist', Code.NotFound);
  if (isCode(error, 'forbidden')) return new ConnectError('not allowed to modify this gomote session', Code.PermissionDenied);
  return toConnect(error);
}

const codes: Partial<Record<CroftError['code'], Code>> = {
  invalid: Code.InvalidArgument,
  unauthenticated: Code.Unauthenticated,
  forbidden: Code.PermissionDenied,
  'not-found': Code.NotFound,
  exhausted: Code.ResourceExhausted,
  'too-large': Code.ResourceExhausted,
  timeout: Code.DeadlineExceeded,
  cancelled: Code.Canceled,
};

/** @param otherwise for what has no code of its own */
function toConnect(error: unknown, otherwise = Code.Unavailable): ConnectError {
  if (error instanceof ConnectError) return error;
  if (error instanceof CroftError && error.code !== 'internal') return new ConnectError(errorText(error), codes[error.code] ?? otherwise);
  return new ConnectError('something is wrong inside the farm', Code.Internal);
}

/** The failure of what was tried, under the code that the method has for it. */
export async function as<T>(code: Code, doing: string, act: () => Promise<T>): Promise<T> {
  try {
    return await act();
  } catch (error) {
    if (error instanceof ConnectError) throw error;
    throw new ConnectError(`${doing}: ${errorText(error)}`, code);
  }
}

/** @throws ConnectError InvalidArgument */
export function need(text: string, what: string): void {
  if (text === '') throw new ConnectError(what, Code.InvalidArgument);
}

/**
 * The one error class. A failure says what was being done in `message` (which may be shown to users), why in `cause`, and
 * carries a code from a closed list that decides the HTTP status and the exit code. Secrets never go into a message.
 */
export const errorCodes = [
  'invalid', // the request or setting is wrong; saying it again will not help
  'unauthenticated', // who are you?
  'forbidden', // known, but not allowed
  'not-found',
  'conflict', // contradicts what is already so
  'stale', // a newer lease epoch exists; whoever gets this has lost the machine and must stop writing
  'exhausted', // a limit was reached: size, count, rate or disk
  'too-large', // the request has a longer body than is read
  'timeout',
  'unavailable', // the other side is gone or not ready; may work later
  'stopped', // this process detaches from its work; the work goes on
  'cancelled', // somebody no longer wants the work
  'internal',
] as const;

export type ErrorCode = (typeof errorCodes)[number];

export interface ErrorDetails {
  readonly cause?: unknown;
  /** What the reader can do about it, one sentence. */
  readonly hint?: string | undefined;
  /** For logs only. */
  readonly fields?: Record<string, unknown>;
}

export class CroftError extends Error {
  readonly code: ErrorCode;
  readonly hint: string | undefined;
  readonly fields: Record<string, unknown>;

  constructor(code: ErrorCode, message: string, details: ErrorDetails = {}) {
    super(message, details.cause === undefined ? undefined : { cause: details.cause });
    this.name = 'CroftError';
    this.code = code;
    this.hint = details.hint;
    this.fields = details.fields ?? {};
  }
}

/** True when the failure has this code. */
export function isCode(error: unknown, code: ErrorCode): error is CroftError {
  return error instanceof CroftError && error.code === code;
}

/** The failure as a `CroftError`: itself if it is one, an abort or timeout under its own code, else `otherwise`. */
export function asCroftError(error: unknown, otherwise: ErrorCode, doing: string): CroftError {
  if (error instanceof CroftError) return error;
  if (error instanceof Error && error.name === 'AbortError') {
    // Node wraps a signal's reason in an error of its own; the reason is what says why.
    if (error.cause !== undefined && error.cause !== error) return asCroftError(error.cause, otherwise, doing);
    return new CroftError('cancelled', `${doing}: broken off`, { cause: error });
  }
  if (error instanceof Error && error.name === 'TimeoutError')
    return new CroftError('timeout', `${doing}: took too long`, { cause: error });
  return new CroftError(otherwise, `${doing}: ${errorText(error)}`, { cause: error });
}

/** One line for people: the message and those of its causes which it does not repeat. */
export function errorText(error: unknown): string {
  const parts: string[] = [];
  for (const at of causes(error)) {
    const text = oneText(at);
    if (text !== '' && !parts.some((part) => part.includes(text))) parts.push(text);
  }
  return parts.join(': ');
}

/** The failure and what lies under it, outermost first; at most eight, since a cause may be its own cause. */
function causes(error: unknown): unknown[] {
  const chain: unknown[] = [];
  for (let at = error; at !== undefined && at !== null && chain.length < 8; at = under(at)) chain.push(at);
  return chain;
}

/** Node reports a connection refused at every address as an `AggregateError` without a message. */
function under(error: unknown): unknown {
  if (error instanceof SuppressedError) return error.suppressed;
  if (error instanceof AggregateError) return error.cause ?? error.errors[0];
  return error instanceof Error ? error.cause : undefined;
}

function oneText(thrown: unknown): string {
  if (thrown instanceof SuppressedError) return `${errorText(thrown.error)} (while cleaning up)`;
  if (thrown instanceof Error) return thrown.message || (under(thrown) === undefined ? (systemCode(thrown) ?? thrown.name) : '');
  return typeof thrown === 'object' ? Object.prototype.toString.call(thrown) : String(thrown);
}

/** The system's error code (`ENOENT`) of a failure or of its causes. */
export function systemCode(error: unknown): string | undefined {
  for (const at of causes(error)) {
    if (at instanceof Error && 'code' in at && typeof at.code === 'string' && /^E(?!RR_)[A-Z0-9_]+$/.test(at.code)) return at.code;
  }
  return undefined;
}

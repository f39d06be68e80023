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
  if (error instanceof Error && error.name === 'TimeoutError') return new CroftError('timeout', `${doing}: took too long`, { cause: error });
  return new CroftError(otherwise, `${doing}: ${errorText(error)}`, { cause: error });
}

/** One line for people: the message and those of its causes which it does not repeat. */
export function errorText(error: unknown): string {
  const parts: string[] = [];
  for (let at: unknown = error; at !== undefined && at !== null && parts.length < 5; at = at instanceof Error ? at.cause : undefined) {
    const text = at instanceof Error ? at.message : String(at);
    if (!parts.some((part) => part.includes(text))) parts.push(text);
  }
  return parts.join(': ');
}

/** The system's error code (`ENOENT`) of a failure or of its causes. */
export function systemCode(error: unknown): string | undefined {
  for (let at: unknown = error; at instanceof Error; at = at.cause) {
    if ('code' in at && typeof at.code === 'string' && /^E[A-Z0-9]+$/.test(at.code)) return at.code;
  }
  return undefined;
}

/** Which HTTP status goes with which failure, in both directions. */
import type { ErrorCode } from '@croft/runtime/errors';

const statusOf: Record<ErrorCode, number> = {
  invalid: 400,
  unauthenticated: 401,
  forbidden: 403,
  'not-found': 404,
  conflict: 409,
  stale: 412,
  exhausted: 429,
  'too-large': 413,
  timeout: 504,
  unavailable: 503,
  stopped: 503,
  cancelled: 409,
  internal: 500,
};

export function httpStatus(code: ErrorCode): number {
  return statusOf[code];
}

/** The code for an answer that carries no JSON body of ours. */
export function codeOfStatus(status: number): ErrorCode {
  if (status === 410) return 'not-found';
  if (status === 408) return 'timeout';
  if (status === 501) return 'invalid';
  if (status === 507) return 'exhausted';
  const found = (Object.entries(statusOf) as [ErrorCode, number][]).find(([, value]) => value === status);
  return found?.[0] ?? (status >= 500 ? 'unavailable' : 'invalid');
}

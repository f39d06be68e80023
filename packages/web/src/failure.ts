/** One place where a failure becomes what the caller sees. A bug shows an id under which the log has the rest. */
import { CroftError, errorText } from '@croft/runtime/errors';
import type { Log } from '@croft/runtime/log';
import type { Random } from '@croft/runtime/random';
import type { ErrorBody } from '@croft/protocol/runs';
import { httpStatus } from '@croft/protocol/status-codes';

export interface Failure {
  readonly status: number;
  readonly body: ErrorBody;
  readonly headers: Record<string, string>;
  /** Set for an internal error. */
  readonly id?: string;
}

export function failureOf(error: unknown, { log, random }: { log: Log; random: Random }): Failure {
  if (error instanceof CroftError && error.code !== 'internal') {
    const { code, message, hint } = error;
    return { status: httpStatus(code), body: hint === undefined ? { code, message } : { code, message, hint }, headers: headersOf(error) };
  }
  const id = random.hex(6);
  log.error('request failed', { id, error: errorText(error), stack: error instanceof Error ? error.stack : undefined });
  const message = `something is wrong inside the farm (${id})`;
  return { status: 500, id, headers: {}, body: { code: 'internal', message, hint: `The farm's log has the details under ${id}.` } };
}

function headersOf({ code, fields }: CroftError): Record<string, string> {
  if (code === 'unauthenticated') return { 'www-authenticate': 'Bearer realm="croft"' };
  const seconds = fields['retryAfterSeconds'];
  return typeof seconds === 'number' ? { 'retry-after': String(seconds) } : {};
}

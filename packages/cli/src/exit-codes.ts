/** What the exit status of every command means. */
import type { CroftError } from '@croft/runtime/errors';

export const exitCodes = {
  ok: 0,
  /** The build failed, or what was asked could not be done. */
  failed: 1,
  usage: 2,
  /** The farm cannot be reached or does not answer. */
  unreachable: 3,
  /** Not signed in, or not allowed. */
  notAllowed: 4,
  /** Ctrl-C, as a shell counts it. */
  interrupted: 130,
} as const;

export function exitCodeOf({ code }: CroftError): number {
  if (code === 'invalid') return exitCodes.usage;
  if (code === 'cancelled') return exitCodes.interrupted;
  if (code === 'unavailable' || code === 'timeout') return exitCodes.unreachable;
  if (code === 'unauthenticated' || code === 'forbidden') return exitCodes.notAllowed;
  return exitCodes.failed;
}

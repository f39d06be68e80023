/** Waiting for a farm that is away for a moment, as while its coordinator is restarted: commands on machines go on meanwhile. */
import { MINUTE, type Waits } from '@croft/runtime/clock';
import { CroftError, isCode } from '@croft/runtime/errors';
import { backoffMs } from '@croft/runtime/random';
import type { Cli } from '@croft/cli/program';

const patienceMs = 10 * MINUTE;

export interface Patience {
  /** Something came; the next failure is waited out anew. */
  heard(): void;
  /** Waits a little after a failure that may pass. @throws the failure when it does not, or when that has gone on for ten minutes */
  wait(error: unknown, waits: Waits): Promise<void>;
}

export function createPatience({ clock, random, stderr }: Pick<Cli, 'clock' | 'random' | 'stderr'>): Patience {
  let since: number | undefined;
  let tries = 0;
  return {
    heard() {
      since = undefined;
      tries = 0;
    },
    async wait(error, { signal }) {
      signal?.throwIfAborted();
      if (!(error instanceof CroftError)) throw error; // our own reader has gone, say
      since ??= clock.monotonic();
      if (!mayPass(error) || clock.monotonic() - since > patienceMs) throw error;
      if (tries === 0) await stderr.write(`# ${error.message}; trying again\n`);
      await clock.sleep(backoffMs(tries, random), { signal });
      tries += 1;
    },
  };
}

/** Repeats what may be done twice until it was answered. */
export async function patiently<T>(cli: Cli, act: () => Promise<T>, waits: Waits = {}): Promise<T> {
  const patience = createPatience(cli);
  for (;;) {
    try {
      return await act();
    } catch (error) {
      await patience.wait(error, waits);
    }
  }
}

/** The same of an upload, but for one from standard input, which comes only once. */
export async function sendPatiently(
  cli: Cli,
  { isRepeatable, signal }: Waits & { isRepeatable: boolean },
  send: () => Promise<void>,
): Promise<void> {
  if (isRepeatable) return patiently(cli, send, { signal });
  try {
    await send();
  } catch (error) {
    if (!(error instanceof CroftError) || !mayPass(error)) throw error;
    const hint = 'Standard input comes only once, and so was not sent again: do it once more, or send a file.';
    throw new CroftError(error.code, error.message, { cause: error, hint });
  }
}

function mayPass(failure: CroftError): boolean {
  return isCode(failure, 'unavailable') || isCode(failure, 'timeout') || isCode(failure, 'stopped');
}

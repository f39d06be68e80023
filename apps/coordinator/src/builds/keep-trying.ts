/** Repeats an idempotent call while the machine cannot be reached. Whoever declares the machine lost aborts the signal. */
import { MINUTE } from '@croft/runtime/clock';
import { CroftError, errorText, isCode } from '@croft/runtime/errors';
import { backoffMs } from '@croft/runtime/random';
import type { FarmDeps, Work } from './work.ts';

interface Trying {
  readonly work: Pick<Work, 'lease'>;
  readonly farm: Pick<FarmDeps, 'clock' | 'random' | 'log' | 'onUnreachable'>;
  readonly signal: AbortSignal;
  /** Failures count from the last time that this grew. */
  readonly progress?: (() => number) | undefined;
}

/** A machine that is silent is lost long before; this is for one that answers pings and nothing else. */
const patienceMs = 10 * MINUTE;

/**
 * @throws what the call throws, unless that is `unavailable` or `timeout`; `exhausted` when that went on for `patienceMs`; the
 * signal's reason when it is aborted.
 */
export async function keepTrying<T>(call: () => Promise<T>, { work, farm, signal, progress = () => 0 }: Trying): Promise<T> {
  const { clock, random, log, onUnreachable } = farm;
  const { machine } = work.lease;
  let reached = progress();
  let since: number | undefined;
  for (let tries = 0; ; tries += 1) {
    signal.throwIfAborted();
    try {
      return await call();
    } catch (error) {
      signal.throwIfAborted();
      if (!isCode(error, 'unavailable') && !isCode(error, 'timeout')) throw error;
      if (progress() > reached) since = undefined;
      if (since === undefined) tries = 0;
      reached = progress();
      since ??= clock.monotonic();
      if (clock.monotonic() - since >= patienceMs) {
        throw new CroftError(
          'exhausted',
          `machine ${machine} answers pings but no work for ${patienceMs / MINUTE} min: ${errorText(error)}`,
        );
      }
      log.debug('machine not reached', { machine, tries, error });
      onUnreachable(machine);
      await clock.sleep(backoffMs(tries, random), { signal });
    }
  }
}

/** Repeats an idempotent call while the machine cannot be reached. Whoever declares the machine lost aborts the signal. */
import { isCode } from '@croft/runtime/errors';
import { backoffMs } from '@croft/runtime/random';
import type { FarmDeps, Work } from './work.ts';

interface Trying {
  readonly work: Work;
  readonly farm: Pick<FarmDeps, 'clock' | 'random' | 'log' | 'onUnreachable'>;
  readonly signal: AbortSignal;
}

/** @throws what the call throws, unless that is `unavailable` or `timeout`; the signal's reason when it is aborted. */
export async function keepTrying<T>(call: () => Promise<T>, { work, farm, signal }: Trying): Promise<T> {
  for (let tries = 0; ; tries += 1) {
    signal.throwIfAborted();
    try {
      return await call();
    } catch (error) {
      signal.throwIfAborted();
      if (!isCode(error, 'unavailable') && !isCode(error, 'timeout')) throw error;
      farm.log.debug('machine not reached', { machine: work.lease.machine, build: work.build, tries, error });
      farm.onUnreachable(work.lease.machine);
      await farm.clock.sleep(backoffMs(tries, farm.random), { signal });
    }
  }
}

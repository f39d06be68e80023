/** The epochs of leases for a machine that knows none: the highest is remembered here, and what an older one still does is ended. */
import { anySignal } from '@croft/runtime/clock';
import { CroftError } from '@croft/runtime/errors';

export interface Fence {
  /** @throws CroftError `stale`; @returns a signal that is aborted when a higher epoch comes as well */
  enter(epoch: number, signal: AbortSignal | undefined): AbortSignal;
}

export function createFence(onHigher: () => void): Fence {
  let highest = -1;
  let current = new AbortController();
  return {
    enter(epoch, signal) {
      if (epoch < highest) throw stale(epoch, highest);
      if (epoch > highest) {
        current.abort(stale(highest, epoch));
        current = new AbortController();
        highest = epoch;
        onHigher();
      }
      return anySignal(signal, current.signal);
    },
  };
}

function stale(epoch: number, highest: number): CroftError {
  return new CroftError('stale', `epoch ${epoch} is older than ${highest}: the machine has passed on`, { fields: { epoch: highest } });
}

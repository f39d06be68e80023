/**
 * The heads of answers that have nothing to say yet. One that goes out with the first output, or with the end, spares its reader and us a
 * turn; but a reader waits only so long for it (Go's client some seconds), so it is not held back for longer than nobody notices.
 */
import type { ServerResponse } from 'node:http';
import type { Clock } from '@croft/runtime/clock';

const holdMs = 10;

type Held = Pick<ServerResponse, 'flushHeaders'>;

export interface LateHeads {
  /** Sends the head of it after 10 to 20 ms, unless it was disposed of by then. */
  hold(response: Held): Disposable;
}

export function createLateHeads(clock: Clock): LateHeads {
  const held = new Set<Held>();
  let sending = false;
  const keepSending = async (): Promise<void> => {
    if (sending) return;
    sending = true;
    while (held.size > 0) {
      const before = [...held];
      await clock.sleep(holdMs);
      for (const response of before) if (held.delete(response)) response.flushHeaders();
    }
    sending = false;
  };
  return {
    hold(response) {
      held.add(response);
      void keepSending();
      return { [Symbol.dispose]: () => void held.delete(response) };
    },
  };
}

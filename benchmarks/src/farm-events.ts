/** The moves of builds as a browser hears them, so that the end of one is seen when it is stored and not when somebody asks. */
import type { Change } from '@croft/protocol/api';
import { anySignal, type Clock } from '@croft/runtime/clock';
import { CroftError } from '@croft/runtime/errors';
import { readEvents } from '@croft/web/event-reader';
import type { FarmProcess } from './farm-process.ts';

export interface FarmEvents extends AsyncDisposable {
  /** When the last move of this build was heard, monotonic ms; asks the farm for its state only while nothing moves. */
  heardEnd(build: string): Promise<number>;
}

/** After a move without another for so long, it is worth while to ask whether it was the last one, ms. */
const quietMs = 8;

export async function followFarm(farm: FarmProcess, { clock, signal: given }: { clock: Clock; signal: AbortSignal }): Promise<FarmEvents> {
  const ending = new AbortController();
  const signal = anySignal(given, ending.signal);
  const heardAt = new Map<string, number>();
  const response = await fetch(`${farm.url}/api/v1/events`, { signal });
  if (!response.body) throw new CroftError('unavailable', 'the farm sends no events');
  const { body } = response;
  const follow = async (): Promise<void> => {
    for await (const event of readEvents(body)) {
      const change: Change | undefined = event.event === 'change' ? JSON.parse(event.data) : undefined;
      if (change?.kind === 'build') heardAt.set(change.id, clock.monotonic());
    }
  };
  const following = follow().catch(() => undefined); // whoever waits for an event is told by its own signal
  return {
    async heardEnd(build) {
      for (;;) {
        const last = heardAt.get(build) ?? Infinity;
        const quiet = clock.monotonic() - last >= quietMs;
        if (quiet) {
          const { state } = await farm.client.call('build.get', { params: { build }, signal });
          if (state === 'ended' && heardAt.get(build) === last) return last;
        }
        await clock.sleep(quiet ? 2 * quietMs : 1, { signal });
      }
    },
    async [Symbol.asyncDispose]() {
      ending.abort();
      await following;
    },
  };
}

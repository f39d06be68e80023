/** Two connections made one: bytes go both ways, and each way ends by itself. */
import type { Duplex } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { MINUTE, type Clock } from '@croft/runtime/clock';

/** Once one end has said its last, the other may be silent this long. A socket whose program is gone need not tell. */
const silentMs = 15 * MINUTE;
const listenersOfTwoPipelines = 30;

export interface Joining {
  readonly clock: Clock;
  readonly silentMs?: number;
  /** When one end has said its last both are closed. */
  readonly untilEither?: boolean;
}

/** Resolves when both are closed: when both have ended, or one of them is lost. */
export async function join(one: Duplex, other: Duplex, options: Joining): Promise<void> {
  const ends = [one, other] as const;
  for (const end of ends) end.on('error', () => {}).setMaxListeners(listenersOfTwoPipelines);
  const ways = [pipeline(one, other), pipeline(other, one)] as const;
  const both = Promise.all(ways);
  const over = new AbortController();
  try {
    await Promise.race(ways);
    if (!options.untilEither) await Promise.race([both, silence(ends, options, over.signal)]);
  } catch {
    // One of them is lost.
  } finally {
    over.abort();
    both.catch(() => {});
    for (const end of ends) end.destroy();
  }
}

/** Resolves when nothing has come from either for long. */
async function silence(ends: readonly Duplex[], { clock, silentMs: limitMs = silentMs }: Joining, signal: AbortSignal): Promise<void> {
  let heard = true;
  const onData = (): void => void (heard = true);
  for (const end of ends) end.on('data', onData);
  while (heard) {
    heard = false;
    await clock.sleep(limitMs, { signal });
  }
}

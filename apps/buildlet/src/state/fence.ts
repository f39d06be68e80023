/**
 * The epoch fence: whoever lost the lease must not write any more. The highest epoch is on disk before its first effect, and
 * that effect waits until every request under way with a lower one has stopped.
 * @see docs/protocols/runs.md#the-epoch
 */
import { join } from 'node:path';
import { CroftError } from '@croft/runtime/errors';
import { readIfThere, writeDurably } from './durable.ts';

/** A request that may change something. Dispose it when its last effect is done. */
export interface Admission extends Disposable {
  /** Aborted with `stale` when a higher epoch arrives. */
  readonly signal: AbortSignal;
}

export interface Fence {
  readonly highest: number;
  /** @throws CroftError `stale` when a higher epoch was seen; undefined is a sender that knows no epochs */
  enter(epoch: number | undefined): Promise<Admission>;
}

export async function openFence(stateDir: string): Promise<Fence> {
  const path = join(stateDir, 'epoch');
  let stored = Number((await readIfThere(path)) ?? 0);
  let highest = stored;
  let writing: Promise<void> = Promise.resolve();
  const inside = new Set<Holder>();

  const store = (epoch: number): Promise<void> => {
    writing = writing
      .catch(() => {})
      .then(async () => {
        if (stored >= epoch) return;
        await writeDurably(path, String(epoch));
        stored = epoch;
      });
    return writing;
  };

  return {
    get highest() {
      return highest;
    },
    async enter(epoch) {
      if (epoch === undefined) return admit(inside, undefined);
      if (epoch < highest) throw stale(highest);
      highest = epoch;
      const older = [...inside].filter((holder) => holder.epoch !== undefined && holder.epoch < epoch);
      for (const holder of older) holder.controller.abort(stale(epoch));
      const admission = admit(inside, epoch); // before waiting: a still higher one must find it
      await Promise.all([store(epoch), ...older.map((holder) => holder.gone.promise)]).catch((error: unknown) => {
        admission[Symbol.dispose]();
        throw error;
      });
      if (admission.signal.aborted) admission[Symbol.dispose]();
      admission.signal.throwIfAborted();
      return admission;
    },
  };
}

interface Holder {
  readonly epoch: number | undefined;
  readonly controller: AbortController;
  readonly gone: PromiseWithResolvers<void>;
}

function admit(inside: Set<Holder>, epoch: number | undefined): Admission {
  const holder: Holder = { epoch, controller: new AbortController(), gone: Promise.withResolvers() };
  inside.add(holder);
  return {
    signal: holder.controller.signal,
    [Symbol.dispose]() {
      inside.delete(holder);
      holder.gone.resolve();
    },
  };
}

function stale(highest: number): CroftError {
  return new CroftError('stale', `a newer lease (epoch ${highest}) holds this machine`, {
    hint: 'Stop writing: the machine has been given to somebody else.',
    fields: { epoch: highest },
  });
}

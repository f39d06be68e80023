/**
 * What all who are attached to one run give it to read: in one order and with offsets, so that nothing is taken twice or left out however
 * often the line to its machine is cut. What comes while something is on its way goes together after it.
 */
import type { Waits } from '@croft/runtime/clock';
import { createBell } from '@croft/runtime/tasks';
import { keepAsking, type RunPlace } from './run-place.ts';

export interface RunInput {
  /** Resolves when the run has taken it, to how much it has taken in all; nothing asks just that. @throws CroftError `conflict` when it has ended or takes none */
  write(bytes: Uint8Array): Promise<number>;
  /** As `write`; nothing comes after it. */
  end(): Promise<number>;
  /** Resolves when so little waits to go out that more may be written, for whoever does not wait until it was taken. */
  room(): Promise<void>;
}

interface Batch {
  readonly pieces: Uint8Array[];
  readonly taken: PromiseWithResolvers<number>;
  bytes: number;
  isLast: boolean;
}

/** One request carries at most about so much; as much may wait for the next one. */
const batchBytes = 1024 * 1024;
const nothing = new Uint8Array();

/** @param taken how much the run has taken by now, where that is known */
export function createRunInput(place: RunPlace, waits: Waits, taken?: number): RunInput {
  const { buildlet, id, epoch } = place;
  const moved = createBell();
  let at = taken;
  let next: Batch | undefined;
  let isSending = false;
  const send = (from: number, content: Uint8Array, end: boolean): Promise<number> =>
    keepAsking(() => buildlet.writeStdin(id, { from, content, end }, epoch, waits), place, waits);
  const take = (): Batch | undefined => {
    const batch = next;
    next = undefined;
    moved.ring();
    return batch;
  };
  const sendAll = async (): Promise<void> => {
    isSending = true;
    for (let batch = take(); batch; batch = take()) {
      try {
        at ??= await send(0, nothing, false); // only asks
        at = await send(at, Buffer.concat(batch.pieces), batch.isLast);
        batch.taken.resolve(at);
      } catch (error) {
        at = undefined;
        batch.taken.reject(error);
      }
    }
    isSending = false;
  };
  const add = (bytes: Uint8Array, isLast: boolean): Promise<number> => {
    next ??= { pieces: [], taken: Promise.withResolvers<number>(), bytes: 0, isLast };
    next.pieces.push(bytes);
    next.bytes += bytes.length;
    next.isLast ||= isLast;
    const { promise } = next.taken;
    if (!isSending) void sendAll();
    return promise;
  };
  return {
    write: (bytes) => add(bytes, false),
    end: () => add(nothing, true),
    async room() {
      while (next && next.bytes >= batchBytes) await moved.wait({});
    },
  };
}

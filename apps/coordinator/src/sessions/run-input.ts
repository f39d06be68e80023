/**
 * What all who are attached to one run type: in one order and with offsets, so that nothing is taken twice or left out however often
 * the line to its machine is cut. What comes while something is on its way goes together after it.
 */
export interface RunInput {
  /** Resolves when the run has taken it, to how much it has taken in all; nothing asks just that. @throws CroftError `conflict` when it has ended or takes none */
  write(bytes: Uint8Array): Promise<number>;
}

/** Sends what begins at an offset, and repeats that until it is taken; answers how much of its input the run has taken. */
export type SendInput = (from: number, content: Uint8Array) => Promise<number>;

interface Batch {
  readonly pieces: Uint8Array[];
  readonly taken: PromiseWithResolvers<number>;
}

export function createRunInput(send: SendInput): RunInput {
  let at: number | undefined;
  let next: Batch | undefined;
  let sending = false;
  const take = (): Batch | undefined => {
    const batch = next;
    next = undefined;
    return batch;
  };
  const sendAll = async (): Promise<void> => {
    sending = true;
    for (let batch = take(); batch; batch = take()) {
      try {
        at ??= await send(0, new Uint8Array()); // only asks
        at = await send(at, Buffer.concat(batch.pieces));
        batch.taken.resolve(at);
      } catch (error) {
        at = undefined;
        batch.taken.reject(error);
      }
    }
    sending = false;
  };
  return {
    write(bytes) {
      next ??= { pieces: [], taken: Promise.withResolvers<number>() };
      next.pieces.push(bytes);
      const { promise } = next.taken;
      if (!sending) void sendAll();
      return promise;
    },
  };
}

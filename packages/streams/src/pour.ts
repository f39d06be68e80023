/**
 * Giving pieces to whoever deals with them, and the next one when that is done. Between two pieces nothing is held: where many wait for a key
 * each, promises and generators made anew by every key are what the collector moves about while everybody waits.
 */

/** Deals with a piece, which is good until what it returns has resolved; nothing for one that was dealt with at once. The next one waits for that. */
export type Take = (piece: Buffer) => Promise<unknown> | undefined;

/** Who was given a piece failed, as its `cause` says: not the stream. */
export class NotTaken extends Error {
  constructor(cause: unknown) {
    super('what came was not taken', { cause });
  }
}

export interface Pouring {
  /** What is there. */
  next(): Buffer | undefined;
  readonly take: Take;
  /** Is called once, and nothing after it. */
  reject(failure: NotTaken): void;
}

/** Gives what is there whenever it is called, unless a piece is being dealt with: then when it was. @param whenEmpty nothing is there for now */
export function createPourer({ next, take, reject }: Pouring, whenEmpty: () => void): () => void {
  let isTaking = false;
  const fail = (cause: unknown): void => reject(new NotTaken(cause)); // and is taking for ever
  const goOn = (): void => {
    isTaking = false;
    flush();
  };
  const flush = (): void => {
    if (isTaking) return;
    isTaking = true;
    try {
      for (let piece = next(); piece; piece = next()) {
        const taking = take(piece);
        if (taking) return void taking.then(goOn, fail);
      }
    } catch (error) {
      return fail(error);
    }
    isTaking = false;
    whenEmpty();
  };
  return flush;
}

/** The same from what is asked for piece by piece. */
export async function pourAll(pieces: AsyncIterable<Buffer>, take: Take): Promise<void> {
  for await (const piece of pieces) await taken(piece, take);
}

/** Resolves when a piece was dealt with. @throws NotTaken */
export async function taken(piece: Buffer, take: Take): Promise<void> {
  try {
    await take(piece);
  } catch (error) {
    throw new NotTaken(error);
  }
}

/** What is poured, for whoever asks for one after the other. Whoever leaves early aborts the signal. */
export async function* pulled<T>(begin: (take: (one: T) => Promise<void>, signal: AbortSignal) => Promise<void>): AsyncGenerator<T> {
  const left = new AbortController();
  let come = Promise.withResolvers<void>();
  let held: { readonly one: T; readonly goOn: () => void } | undefined;
  let isOver = false;
  const take = (one: T): Promise<void> =>
    new Promise((goOn) => {
      held = { one, goOn };
      come.resolve();
    });
  const pouring = begin(take, left.signal).finally(() => {
    isOver = true;
    come.resolve();
  });
  pouring.catch(() => undefined); // told below
  try {
    for (;;) {
      if (held) {
        yield held.one;
        const { goOn } = held;
        held = undefined;
        goOn();
      } else if (isOver) break;
      else {
        come = Promise.withResolvers();
        await come.promise;
      }
    }
    await pouring;
  } finally {
    left.abort();
    held?.goOn();
  }
}

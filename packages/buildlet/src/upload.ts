/** The body of a request that is not there as a whole when it begins. */
import type { ClientRequest, IncomingMessage } from 'node:http';
import { CroftError } from '@croft/runtime/errors';

/** What goes out as it comes, with nothing to wait for in between. To be read once. */
export interface Feed {
  /** What is new, in few pieces that stay as they are; undefined when there will be no more. */
  next(): readonly Uint8Array[] | undefined;
  /** `act` is to be called when there may be something new. */
  listen(act: () => void): void;
  /** All of it has gone out. */
  sent(): void;
}

/** Until its end, or the answer or a failure, after which nothing more goes out. */
export function sendFeed(feed: Feed, request: ClientRequest, answered: Promise<unknown>): void {
  let isOver = false;
  let isFull = false;
  const over = (): void => void (isOver = true);
  const drained = (): void => {
    isFull = false;
    flush();
  };
  const flush = (): void => {
    if (isOver || isFull) return;
    const pieces = feed.next();
    if (!pieces) {
      over();
      request.end(() => feed.sent());
      return;
    }
    for (const piece of pieces) isFull = !request.write(piece);
    if (isFull) request.once('drain', drained);
    else if (pieces.length > 0) flush(); // its end may have come with the last of it
  };
  answered.then(over, over);
  feed.listen(flush);
  flush();
}

/** Uploads until done, or until the answer or a failure comes early, which then tells why. */
export async function send(content: AsyncIterable<Uint8Array>, request: ClientRequest, answered: Promise<IncomingMessage>): Promise<void> {
  const unlessOver = waitsUntil(answered);
  const pieces = content[Symbol.asyncIterator]();
  try {
    for (;;) {
      const next = await unlessOver(pieces.next().catch(unreadable));
      if (!next) break;
      if (next.done) return void request.end();
      const { value } = next;
      const isWritten = await unlessOver(new Promise<boolean>((told) => request.write(value, (error) => told(!error))));
      if (!isWritten) break; // it may still be on its way: who is asked for the next piece may use the memory of this one again
    }
  } catch (error) {
    request.destroy();
    throw error;
  }
  // What is not needed any more may hang as well: it is told to end and not waited for.
  pieces.return?.().catch(() => undefined);
}

/**
 * Waits for one thing after the other, until an end has come: then for nothing, and gives undefined. `Promise.race` would leave something
 * of each wait with an end that is far away.
 */
function waitsUntil(end: Promise<unknown>): <T>(work: Promise<T>) => Promise<T | undefined> {
  let isOver = false;
  let stop = (): void => undefined;
  const over = (): void => {
    isOver = true;
    stop();
  };
  end.then(over, over);
  return (work) =>
    new Promise((resolve, reject) => {
      stop = () => resolve(undefined);
      work.then(resolve, reject);
      if (isOver) stop();
    });
}

/** What is to be sent cannot be read: never the machine's doing, and so never a reason to ask it again. */
function unreadable(error: unknown): never {
  if (error instanceof CroftError && error.code !== 'unavailable' && error.code !== 'timeout') throw error;
  throw new CroftError('internal', 'what is to be sent cannot be read', { cause: error });
}

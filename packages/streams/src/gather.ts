/**
 * Long bodies from a connection, in pieces worth the trips that they make from here on: over TLS a stream gives 16 KiB at a time, each with
 * memory of its own that the collector would have to find.
 */
import type { Readable } from 'node:stream';

export interface Gathering {
  /** For each piece of the stream that was copied, or given on and is of no use any more, where it is nobody else's: frees its memory. */
  readonly free?: ((piece: Buffer) => void) | undefined;
  /** Ends the stream when its reader leaves early; it does unless this is false. */
  readonly destroys?: boolean;
}

const roomBytes = 256 * 1024;
/** More has probably come with a piece that is as long as this. */
const longBytes = 4 * 1024;

/**
 * What comes, in order and as it comes: the longer its reader takes, the longer the pieces, up to 256 KiB. Each is good only until the next one is
 * asked for. Throws what ends the stream early.
 */
export async function* gather(stream: Readable, { free = keep, destroys = true }: Gathering): AsyncGenerator<Buffer> {
  const basket = createBasket(free);
  let come = Promise.withResolvers<void>();
  let failure: unknown;
  let isOver = false;
  const wake = (): void => come.resolve();
  const onData = (piece: Buffer): void => {
    const isFull = basket.add(piece);
    if (isFull) stream.pause();
    if (isFull || piece.length < longBytes) wake();
    else setImmediate(wake);
  };
  const onEnd = (): void => {
    isOver = true;
    wake();
  };
  const onError = (error: unknown): void => {
    failure ??= error;
    onEnd();
  };
  const onClose = (): void => {
    if (!stream.readableEnded) failure ??= new Error('the connection was closed');
    onEnd();
  };
  stream.on('data', onData).on('end', onEnd).on('error', onError).on('close', onClose);
  if (stream.destroyed) onClose();
  try {
    for (;;) {
      const piece = basket.take();
      if (piece) {
        yield piece;
        continue;
      }
      if (isOver) break;
      come = Promise.withResolvers();
      stream.resume();
      await come.promise;
    }
    if (failure !== undefined) throw failure;
  } finally {
    stream.off('data', onData).off('end', onEnd).off('close', onClose).pause();
    if (destroys) stream.destroy();
    else stream.off('error', onError);
  }
}

const keep = (): void => undefined;

interface Basket {
  /** @returns whether no more should come before it was emptied */
  add(piece: Buffer): boolean;
  /** All that is in it, or the next of its pieces; what was taken before is of no use any more. */
  take(): Buffer | undefined;
}

/** A piece that comes alone is given as it is; what comes while another is in use goes together into one of two rooms. */
function createBasket(free: (piece: Buffer) => void): Basket {
  const loose: Buffer[] = [];
  let room: Buffer | undefined;
  let otherRoom: Buffer | undefined;
  let filled = 0;
  let given: Buffer | undefined;
  const pour = (piece: Buffer): void => {
    room ??= Buffer.allocUnsafeSlow(roomBytes); // most runs write little and never need it
    filled += piece.copy(room, filled);
    free(piece);
  };
  return {
    add(piece) {
      loose.push(piece);
      if (filled === 0 && loose.length === 1) return piece.length >= roomBytes;
      for (let next = loose[0]; next && next.length <= roomBytes - filled; next = loose[0]) {
        pour(next);
        loose.shift();
      }
      return loose.length > 0;
    },
    take() {
      if (given) free(given);
      given = undefined;
      if (filled === 0 || !room) return (given = loose.shift());
      const piece = room.subarray(0, filled);
      [room, otherRoom] = [otherRoom, room];
      filled = 0;
      return piece;
    },
  };
}

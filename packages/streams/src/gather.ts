/**
 * Long bodies from a connection, in pieces worth the trips that they make from here on: over TLS a stream gives 16 KiB at a time, each with
 * memory of its own that the collector would have to find.
 */
import type { Readable } from 'node:stream';
import { createPourer, type Take } from './pour.ts';

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
export async function* gather(stream: Readable, options: Gathering): AsyncGenerator<Buffer> {
  let come = Promise.withResolvers<void>();
  using intake = takeIn(stream, options, () => come.resolve());
  for (;;) {
    const piece = intake.take();
    if (piece) {
      yield piece;
      continue;
    }
    if (intake.isOver()) break;
    come = Promise.withResolvers();
    stream.resume();
    await come.promise;
  }
  if (intake.failure !== undefined) throw intake.failure;
}

/**
 * As `gather`, for what comes in small pieces and at once: while nothing comes nothing is held, and a piece that is dealt with at once leaves nothing behind.
 * @throws NotTaken and what ends the stream early
 */
export function pour(stream: Readable, take: Take, options: Gathering): Promise<void> {
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  const intake = takeIn(stream, options, () => flush());
  const flush = createPourer({ next: intake.take, take, reject }, () => {
    if (!intake.isOver()) return void stream.resume();
    if (intake.failure === undefined) resolve();
    else reject(intake.failure);
  });
  flush();
  return promise.finally(() => intake[Symbol.dispose]());
}

interface Intake extends Disposable, Pick<Basket, 'take'> {
  /** Nothing more will come. */
  isOver(): boolean;
  /** What ended the stream early. */
  readonly failure: unknown;
}

/** @param wake is called when something is there, or will not be any more; never before this has returned */
function takeIn(stream: Readable, { free = keep, destroys = true }: Gathering, wake: () => void): Intake {
  const basket = createBasket(free);
  let failure: unknown;
  let isOver = false;
  const onData = (piece: Buffer): void => {
    const isFull = basket.add(piece);
    if (isFull) stream.pause();
    if (isFull || piece.length < longBytes) wake();
    else setImmediate(wake);
  };
  const end = (why?: unknown): void => {
    failure ??= why;
    isOver = true;
  };
  const onEnd = (): void => {
    end();
    wake();
  };
  const onError = (error: unknown): void => {
    end(error);
    wake();
  };
  const closed = (): void => end(stream.readableEnded ? undefined : new Error('the connection was closed'));
  const onClose = (): void => {
    closed();
    wake();
  };
  stream.on('data', onData).on('end', onEnd).on('error', onError).on('close', onClose);
  if (stream.destroyed) closed();
  return {
    take: basket.take,
    isOver: () => isOver,
    get failure() {
      return failure;
    },
    [Symbol.dispose]() {
      stream.off('data', onData).off('end', onEnd).off('close', onClose).pause();
      if (destroys) stream.destroy();
      else stream.off('error', onError);
    },
  };
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

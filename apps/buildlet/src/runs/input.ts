/**
 * What a command reads, taken in order and once: bytes have offsets, so a request that is repeated after a lost connection changes nothing.
 * The newest request writes; one before it belongs to a connection that is gone. @see docs/protocols/runs.md#input
 */
import type { Writable } from 'node:stream';
import { CroftError } from '@croft/runtime/errors';
import { NotTaken, type Take } from '@croft/streams/pour';

/** Ctrl-D: what a terminal takes for the end. */
const endOfTransmission = Buffer.of(4);

export interface InputPart {
  /** Offset of the first byte of what is poured. */
  readonly from: number;
  readonly pour: (take: Take) => Promise<void>;
  /** Nothing comes after it. */
  readonly end: boolean;
  readonly signal: AbortSignal;
}

/** `beyond`: bytes before it are missing; `closed`: the command takes no more. */
export type Taking = 'taken' | 'beyond' | 'closed';

export interface RunInput {
  /** Bytes so far. */
  readonly taken: number;
  /** Waits for the command to read. @throws the signal's reason; CroftError `conflict` when a newer request writes */
  take(part: InputPart): Promise<Taking>;
  /** The command has ended. */
  close(): void;
}

export function createInput(stream: () => Writable | undefined, { isTerminal }: { isTerminal: boolean }): RunInput {
  let taken = 0;
  let ended = false;
  let writing: { readonly stop: AbortController; readonly done: Promise<unknown> } | undefined;

  const write = (bytes: Buffer): Promise<void> | undefined => {
    const to = stream();
    if (!to || to.destroyed || ended) throw new Closed();
    taken += bytes.length; // from here on it comes to the command, or the command is gone
    return writeTo(to, bytes);
  };

  const takeAll = async ({ from, pour, end }: InputPart, signal: AbortSignal): Promise<Taking> => {
    if (from > taken) return 'beyond';
    let at = from;
    const take = (piece: Buffer): Promise<void> | undefined => {
      signal.throwIfAborted();
      const rest = piece.subarray(Math.min(piece.length, Math.max(0, taken - at)));
      at += piece.length;
      return rest.length === 0 ? undefined : write(rest);
    };
    try {
      await interruptible(pour(take), signal);
    } catch (error) {
      if (!(error instanceof NotTaken)) throw error;
      if (error.cause instanceof Closed) return 'closed';
      throw error.cause;
    }
    if (end && !ended) {
      if (isTerminal) stream()?.write(endOfTransmission);
      else stream()?.end();
      ended = true;
    }
    return 'taken';
  };

  return {
    get taken() {
      return taken;
    },
    async take(part) {
      const stop = new AbortController();
      const before = writing;
      before?.stop.abort(new CroftError('conflict', 'a newer request writes the input of this run'));
      const signal = AbortSignal.any([part.signal, stop.signal]);
      const done = (async () => {
        await before?.done.catch(() => {}); // told to whoever asked for it
        return takeAll(part, signal);
      })();
      writing = { stop, done };
      return done;
    },
    close() {
      ended = true;
      if (!isTerminal) stream()?.destroy();
    },
  };
}

/** The command takes no more. */
class Closed extends Error {}

/** Undefined when the system has it already: a key. */
function writeTo(stream: Writable, bytes: Buffer): Promise<void> | undefined {
  const written = Promise.withResolvers<void>();
  stream.write(bytes, (error) => (error ? written.reject(new Closed()) : written.resolve()));
  written.promise.catch(() => {}); // whoever writes next is told as well
  return stream.writableLength === 0 && !stream.errored ? undefined : written.promise;
}

/** What goes on is left to itself when the signal is aborted. */
async function interruptible<T>(work: Promise<T>, signal: AbortSignal): Promise<T> {
  signal.throwIfAborted();
  const { promise, reject } = Promise.withResolvers<never>();
  const onAbort = (): void => reject(signal.reason);
  signal.addEventListener('abort', onAbort, { once: true });
  try {
    return await Promise.race([work, promise]);
  } finally {
    signal.removeEventListener('abort', onAbort);
    work.catch(() => {}); // when nobody waits for it any more
  }
}

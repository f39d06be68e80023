/** Writes to a channel no faster than its client takes it, and in pieces that fit; both streams of a channel share one window. */
import { once } from 'node:events';
import type { Writable } from 'node:stream';
import type { Connection, ServerChannel } from 'ssh2';
import { anySignal } from '@croft/runtime/clock';
import { CroftError } from '@croft/runtime/errors';
import { encryptOurselves, onWindow, socketOf, windowOf } from './ssh2-inside.ts';

/** Undefined: all of it has gone, and the piece may be changed; else that is so when it resolves. Throws or rejects when the channel is closed. */
type Write = (piece: Uint8Array) => Promise<void> | undefined;

export interface ChannelWriter {
  readonly write: Write;
  readonly writeError: Write;
}

/** What lies in the connection unsent, beyond which its channels wait, bytes. */
const unsentBytes = 1024 * 1024;
/** What is longer comes in several parts, each of which would be a call of the system. */
const keyBytes = 512;

export function createChannelWriter(channel: ServerChannel, connection: Connection, closed: AbortSignal): ChannelWriter {
  const socket = socketOf(connection);
  let last: Promise<void> | undefined; // whoever waits for room, or for who does
  const isFull = (): boolean => socket.writableLength > unsentBytes;
  /** As far as there is room. @returns where the rest begins */
  const sendSome = (stream: Writable, piece: Uint8Array, from: number): number => {
    let at = from;
    while (at < piece.length && !isFull()) {
      closed.throwIfAborted();
      const end = Math.min(piece.length, at + windowOf(channel));
      if (end === at) break;
      encryptOurselves(connection);
      const isLong = end - at > keyBytes;
      if (isLong) socket.cork();
      stream.write(piece.subarray(at, end));
      if (isLong) socket.uncork();
      at = end;
    }
    return at;
  };
  const sendRest = async (stream: Writable, piece: Uint8Array, from: number): Promise<void> => {
    for (let at = from; ; at = sendSome(stream, piece, at)) {
      closed.throwIfAborted();
      if (isFull()) await drained(socket, closed);
      else if (at === piece.length) return;
      else if (windowOf(channel) === 0) await roomIn(channel, closed);
    }
  };
  const inTurn = (send: () => Promise<void>): Promise<void> => {
    const sent = last ? last.then(send) : send();
    const settled = sent
      .catch(() => undefined)
      .then(() => {
        if (last === settled) last = undefined;
      });
    last = settled;
    return sent;
  };
  const writeTo =
    (stream: Writable): Write =>
    (piece) => {
      if (last) return inTurn(() => sendRest(stream, piece, 0));
      const at = sendSome(stream, piece, 0);
      if (at === piece.length && !isFull()) return undefined;
      return inTurn(() => sendRest(stream, piece, at));
    };
  return { write: writeTo(channel), writeError: writeTo(channel.stderr) };
}

async function roomIn(channel: ServerChannel, closed: AbortSignal): Promise<void> {
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  const gone = (): void => reject(closed.reason);
  closed.addEventListener('abort', gone, { once: true });
  onWindow(channel, resolve);
  await promise.finally(() => closed.removeEventListener('abort', gone));
}

async function drained(socket: Writable, closed: AbortSignal): Promise<void> {
  const ended = new AbortController();
  const end = (): void => ended.abort(new CroftError('unavailable', 'the connection ended'));
  socket.once('close', end);
  await once(socket, 'drain', { signal: anySignal(closed, ended.signal) }).finally(() => socket.off('close', end));
}

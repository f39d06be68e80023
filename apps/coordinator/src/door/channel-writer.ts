/** Writes to a channel no faster than its client takes it, and in pieces that fit; both streams of a channel share one window. */
import { once } from 'node:events';
import type { Writable } from 'node:stream';
import type { Connection, ServerChannel } from 'ssh2';
import { anySignal } from '@croft/runtime/clock';
import { CroftError } from '@croft/runtime/errors';
import { encryptOurselves, onWindow, socketOf, windowOf } from './ssh2-inside.ts';

export interface ChannelWriter {
  /** Resolves when the piece may be changed. Rejects when the channel is closed. */
  write(piece: Uint8Array): Promise<void>;
  writeError(piece: Uint8Array): Promise<void>;
}

/** What lies in the connection unsent, beyond which its channels wait, bytes. */
const unsentBytes = 1024 * 1024;

export function createChannelWriter(channel: ServerChannel, connection: Connection, closed: AbortSignal): ChannelWriter {
  const socket = socketOf(connection);
  let last: Promise<void> = Promise.resolve();
  const send = async (stream: Writable, piece: Uint8Array): Promise<void> => {
    for (let at = 0; at < piece.length;) {
      closed.throwIfAborted();
      const room = windowOf(channel);
      if (room === 0) await roomIn(channel, closed);
      else {
        const end = Math.min(piece.length, at + room);
        encryptOurselves(connection);
        socket.cork(); // its packets have 32 KiB, and each would be a call of the system
        stream.write(piece.subarray(at, end));
        socket.uncork();
        at = end;
      }
      if (socket.writableLength > unsentBytes) await drained(socket, closed);
    }
  };
  const inTurn = (stream: Writable, piece: Uint8Array): Promise<void> => {
    const before = last;
    const sent = before.then(() => send(stream, piece));
    last = sent.catch(() => undefined);
    return sent;
  };
  return {
    write: (piece) => inTurn(channel, piece),
    writeError: (piece) => inTurn(channel.stderr, piece),
  };
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

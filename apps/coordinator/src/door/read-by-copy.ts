/**
 * Sockets whose reads are copied out of one buffer of ours. Node reads TCP into 64 KiB that it takes back when little came, unless it has given
 * a piece of the same 64 KiB to a TLS connection meanwhile: where keys come from clients over TCP and are echoed by machines over TLS,
 * each key would hold 64 KiB until the collector comes, and of so much V8 goes through the whole heap twice a second.
 */
import { Socket, type SocketConstructorOpts } from 'node:net';

const buffer = Buffer.allocUnsafeSlow(64 * 1024);
/** What is longer has memory of its own, which whoever is done with it frees. */
const littleBytes = 4 * 1024;

/** @param accepted paused, and of no use afterwards */
export function readByCopy(accepted: Socket): Socket {
  const inside = accepted as unknown as { _handle: unknown };
  const callback = (bytes: number): boolean => {
    const piece = bytes > littleBytes ? Buffer.allocUnsafeSlow(bytes) : Buffer.allocUnsafe(bytes);
    buffer.copy(piece, 0, 0, bytes);
    return socket.push(piece);
  };
  const socket: Socket = new Socket({ handle: inside._handle, onread: { buffer, callback } } as SocketConstructorOpts);
  inside._handle = null; // closing it closes nothing any more
  accepted.destroy();
  return socket;
}

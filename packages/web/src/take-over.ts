/**
 * Takes a connection away from the HTTP server in the middle of a request, as `/reverse` needs it: its clients do not ask for an
 * upgrade, so Node does not offer one. Works for any request of a connection, not only the first.
 */
import { STATUS_CODES, type IncomingMessage, type ServerResponse } from 'node:http';
import type { Socket } from 'node:net';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { CroftError } from '@croft/runtime/errors';

interface HttpSocket extends Socket {
  /** Node's own; it drops out of the server's list of connections with `remove`, and lives, with the request, until `close`. */
  parser?: { unconsume(): void; remove(): void; close(): void } | null;
}

/**
 * Answers 101 and resolves once that has gone out: nothing may follow it in the same packet, since Go's buildlet loses what comes
 * with it. From then on the socket, which is not flowing, belongs to the caller; the listener cuts it when it closes.
 * @throws CroftError `unavailable` when the connection is gone
 */
export async function takeOver(
  incoming: IncomingMessage,
  outgoing: ServerResponse,
  headers: Readonly<Record<string, string>> = {},
): Promise<Socket> {
  const socket = await takeAway(incoming, outgoing);
  const lines = [`HTTP/1.1 101 ${STATUS_CODES[101]}`, ...Object.entries(headers).map(([name, value]) => `${name}: ${value}`)];
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  const gone = (): void => reject(new CroftError('unavailable', 'the connection ended while it was taken over'));
  socket.once('close', gone);
  socket.write(`${lines.join('\r\n')}\r\n\r\n`, (error) => (error ? gone() : resolve()));
  await promise.finally(() => socket.off('close', gone));
  return socket;
}

/** The same without an answer, for whoever writes one of their own. @throws CroftError `unavailable` when the connection is gone */
export async function takeAway(incoming: IncomingMessage, outgoing: ServerResponse): Promise<Socket> {
  const socket: HttpSocket = incoming.socket;
  await nextTurn(); // the parser must not be in the middle of this request
  if (socket.destroyed) throw new CroftError('unavailable', 'the connection ended before it was taken over');
  outgoing.detachSocket(socket);
  withoutHttp(socket);
  return socket;
}

const events = ['data', 'end', 'close', 'drain', 'error', 'timeout', 'resume', 'pause'];

/** What Node itself does before it emits `upgrade`. */
function withoutHttp(socket: HttpSocket): void {
  socket.on('data', ignore); // Node then gives the bytes to listeners instead of to its parser
  for (const event of events) {
    for (const listener of socket.listeners(event)) {
      if (/^(?:bound )?(?:socketOn|onSocket(?:Resume|Pause)|ignore$)/.test(listener.name)) socket.off(event, listener as () => void);
    }
  }
  const own = socket as unknown as Record<string, unknown>;
  const plain = Object.getPrototypeOf(socket) as Record<string, unknown>;
  // Set and not deleted: an object that lost a property takes kilobytes more, and there are thousands of these.
  for (const wrapped of ['on', 'addListener', 'prependListener']) own[wrapped] = plain[wrapped];
  socket.parser?.unconsume();
  socket.parser?.remove();
  socket.parser?.close();
  socket.parser = null;
  socket.setTimeout(0);
  socket.on('error', ignore); // whoever reads or writes learns of it by the end
  own['readableFlowing'] = null;
}

function ignore(): void {}

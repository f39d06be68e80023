/**
 * WebSockets on the listener's connections (RFC 6455). Nothing is compressed, so that a small frame stays small, and a message has a
 * limit; one that is larger, or a frame that breaks the rules, ends the connection. @see docs/protocols/terminal.md
 */
import type { IncomingMessage, ServerResponse } from 'node:http';
import { CroftError } from '@croft/runtime/errors';
import { WebSocketServer, type WebSocket } from 'ws';
import type { Incoming, Outgoing } from './listener.ts';
import { takeAway } from './take-over.ts';

export type { WebSocket } from 'ws';

export const maxMessageBytes = 64 * 1024;
/** Whoever asks on and on and does not read the answers is cut off. */
const unreadBytes = 1024 * 1024;

const server = new WebSocketServer({ noServer: true, clientTracking: false, perMessageDeflate: false, maxPayload: maxMessageBytes });

export function asksForWebSocket({ headers }: Pick<Incoming, 'headers'>): boolean {
  return headers.upgrade?.toLowerCase() === 'websocket';
}

/**
 * Answers the handshake; nothing is read until `resume()`, so that nothing comes before somebody listens. Whoever calls has checked who asks and
 * from which page: browsers let any page open one, and send cookies along.
 * @throws CroftError `invalid` when it is none, which was answered then; `unavailable` when the connection is gone
 */
export async function acceptWebSocket(incoming: Incoming, outgoing: Outgoing): Promise<WebSocket> {
  const socket = await takeAway(incoming as IncomingMessage, outgoing as ServerResponse);
  const { promise, resolve, reject } = Promise.withResolvers<WebSocket>();
  socket.once('close', () => reject(new CroftError('invalid', 'this is not the handshake of a WebSocket')));
  server.handleUpgrade(incoming as IncomingMessage, socket, Buffer.alloc(0), (accepted) => {
    accepted.pause();
    accepted.on('ping', () => accepted.bufferedAmount > unreadBytes && accepted.terminate()); // each was answered
    accepted.on('error', () => accepted.terminate()); // a broken rule; the end tells
    resolve(accepted);
  });
  return promise;
}

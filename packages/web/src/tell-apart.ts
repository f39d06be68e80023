/**
 * One port for HTTP/1 and HTTP/2: who begins with the HTTP/2 preface, or has agreed on it under TLS, is handed to the one, everybody
 * else to the other. Clients that can speak both under TLS get HTTP/1; HTTP/2 is for gRPC, whose clients speak nothing else.
 */
import { createServer, type Http2Server, type Http2ServerRequest, type Http2ServerResponse, type ServerHttp2Session } from 'node:http2';
import type { Server } from 'node:http';
import type { Socket } from 'node:net';
import type { TLSSocket } from 'node:tls';
import { MINUTE } from '@croft/runtime/clock';

const preface = Buffer.from('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n');
const idleSessionMs = 5 * MINUTE;

export interface Http2Side {
  /** Lets requests under way end, and drops whoever has not said yet what it speaks. */
  close(): void;
  destroy(): void;
}

export type Http2Listener = (incoming: Http2ServerRequest, outgoing: Http2ServerResponse) => void;

export interface TellingApart {
  /** When a connection can be spoken on: `secureConnection` under TLS. */
  readonly event: 'connection' | 'secureConnection';
  /** How long somebody may be silent at first. */
  readonly prefaceMs: number;
}

/** Takes the place of the server's own handling of new connections. */
export function serveHttp2(server: Server, listener: Http2Listener, { event, prefaceMs }: TellingApart): Http2Side {
  const [http1] = server.listeners(event) as ((socket: Socket) => void)[];
  const http2 = createServer({ settings: { maxConcurrentStreams: 100 } }, listener);
  const sessions = keepSessions(http2);
  const silent = new Set<Socket>();
  const toHttp1 = (socket: Socket): void => http1?.call(server, socket);
  const toHttp2 = (socket: Socket): void => {
    socket.allowHalfOpen = false; // a session whose other side has ended has nobody to speak to, and would be kept until it is idle
    http2.emit('connection', socket);
  };
  server.removeAllListeners(event);
  server.on(event, (socket: Socket | TLSSocket) => {
    if ('alpnProtocol' in socket) return socket.alpnProtocol === 'h2' ? toHttp2(socket) : toHttp1(socket);
    silent.add(socket);
    listen(socket, prefaceMs, (speaks) => {
      silent.delete(socket);
      if (speaks === 'http1') toHttp1(socket);
      if (speaks === 'http2') toHttp2(socket);
    });
  });
  return {
    close() {
      for (const socket of silent) socket.destroy();
      for (const session of sessions) session.close();
    },
    destroy() {
      for (const session of sessions) session.destroy();
    },
  };
}

/** What a server under TLS agrees on. */
export function chooseProtocol({ protocols }: { protocols: readonly string[] }): string | undefined {
  return ['http/1.1', 'h2'].find((protocol) => protocols.includes(protocol));
}

function keepSessions(http2: Http2Server): Set<ServerHttp2Session> {
  const sessions = new Set<ServerHttp2Session>();
  http2.on('session', (session) => {
    sessions.add(session);
    session.setTimeout(idleSessionMs, () => session.close());
    session.on('error', () => session.destroy());
    session.once('close', () => sessions.delete(session));
  });
  http2.on('sessionError', () => undefined); // the session's own listener ends it
  return sessions;
}

type Speaks = 'http1' | 'http2' | 'nothing';

/** Reads until it is clear what the other side speaks, and puts what was read back. */
function listen(socket: Socket, withinMs: number, tell: (speaks: Speaks) => void): void {
  let heard: Uint8Array = Buffer.alloc(0);
  const onEnd = (): void => decide('nothing');
  const onSilence = (): void => void socket.destroy();
  const onReadable = (): void => {
    const piece = socket.read() as Buffer | null;
    if (piece === null) return;
    heard = heard.length === 0 ? piece : Buffer.concat([heard, piece]);
    const length = Math.min(heard.length, preface.length);
    if (preface.compare(heard, 0, length, 0, length) !== 0) decide('http1');
    else if (length === preface.length) decide('http2');
  };
  const decide = (speaks: Speaks): void => {
    socket.off('readable', onReadable).off('end', onEnd).off('error', onEnd).off('close', onEnd).off('timeout', onSilence);
    socket.setTimeout(0);
    if (speaks === 'nothing') socket.destroy();
    else socket.unshift(heard);
    tell(speaks);
  };
  socket.on('readable', onReadable).on('end', onEnd).on('error', onEnd).on('close', onEnd).on('timeout', onSilence);
  socket.setTimeout(withinMs);
}

/**
 * The HTTP listener: a handler from `Request` to `Response` behind one address, over HTTP/1 and HTTP/2. What a `Response` cannot
 * say, the trailers of gRPC, is left to a handler of its own.
 */
import { once } from 'node:events';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { Http2ServerRequest, Http2ServerResponse } from 'node:http2';
import { createServer as createTlsServer } from 'node:https';
import type { AddressInfo, Socket } from 'node:net';
import { getRequestListener } from '@hono/node-server';
import { systemClock, type Clock } from '@croft/runtime/clock';
import { CroftError, errorText, systemCode } from '@croft/runtime/errors';
import type { Log } from '@croft/runtime/log';
import { connectionOf, type Connection } from './connection.ts';
import { chooseProtocol, serveHttp2, type Http2Side } from './tell-apart.ts';

/** A body is at most some kilobytes here: whoever needs longer than this to send one is holding the connection, not using it. */
const bodyMs = 30_000;
/** Whoever is gone without a word in the middle of a long one is noticed. */
const keepAliveMs = 60_000;

export type Handler = (request: Request, connection: Connection) => Response | Promise<Response>;

export type Incoming = IncomingMessage | Http2ServerRequest;
export type Outgoing = ServerResponse | Http2ServerResponse;

export interface RawHandler {
  /** Whether this request is for it. */
  takes(incoming: Incoming): boolean;
  /** Bodies may be of any length and take any time: the handler is who limits them. */
  readonly takesLong?: boolean;
  answer(incoming: Incoming, outgoing: Outgoing, connection: Connection): void;
}

export interface ListenOptions {
  readonly host: string;
  /** 0 takes any free port. */
  readonly port: number;
  /** PEM texts. */
  readonly tls?: { readonly cert: string; readonly key: string } | undefined;
  /** Go before the handler. */
  readonly raw?: readonly RawHandler[] | undefined;
  readonly log: Log;
  readonly clock?: Clock;
  /** How long requests under way may take to end when the listener closes, ms. */
  readonly graceMs?: number;
  readonly maxConnections?: number;
}

export interface Listener extends AsyncDisposable {
  /** Where it is found from this machine, without a slash at the end. */
  readonly url: string;
  readonly port: number;
}

/** @throws CroftError `unavailable` that names the address when it cannot be bound. */
export async function serve(handler: Handler, options: ListenOptions): Promise<Listener> {
  const { host, tls, log, clock = systemClock, graceMs = 3_000, maxConnections = 20_000 } = options;
  const stopping = new AbortController();
  const onRequest = requestListener(handler, stopping.signal, options);
  const limits = { requestTimeout: 0, headersTimeout: 15_000, keepAliveTimeout: 20_000, maxHeaderSize: 16_384 };
  const server = tls ? createTlsServer({ ...limits, ...tls, ALPNCallback: chooseProtocol }, onRequest) : createServer(limits, onRequest);
  const http2 = serveHttp2(server, onRequest, { event: tls ? 'secureConnection' : 'connection', prefaceMs: limits.headersTimeout });
  server.maxConnections = maxConnections;
  const connected = new Set<Socket>(); // Node does not know those any more that were taken over
  server.on('connection', (socket: Socket) => {
    connected.add(socket);
    socket.once('close', () => connected.delete(socket));
  });
  const { port } = await listen(server, options);
  server.on('error', (error) => log.error('listener failed', { error: errorText(error) }));
  return {
    url: `${tls ? 'https' : 'http'}://${reachableHost(host)}:${port}`,
    port,
    async [Symbol.asyncDispose]() {
      if (stopping.signal.aborted) return;
      stopping.abort(new CroftError('stopped', 'the server is stopping'));
      const cut = (): void => connected.forEach((socket) => socket.destroy());
      await close(server, { http2, cut, clock, graceMs });
    },
  };
}

/** Who listens at every address is found at the loopback one. */
function reachableHost(host: string): string {
  if (host === '0.0.0.0') return '127.0.0.1';
  if (host === '::') return '[::1]';
  return host.includes(':') ? `[${host}]` : host;
}

function requestListener(
  handler: Handler,
  stopping: AbortSignal,
  { log, raw = [], clock = systemClock }: ListenOptions,
): (incoming: Incoming, outgoing: Outgoing) => void {
  const connections = new WeakMap<Socket, Connection>();
  const connectionFor = (socket: Socket): Connection => {
    let connection = connections.get(socket);
    if (!connection) connections.set(socket, (connection = connectionOf(socket, stopping)));
    return connection;
  };
  const answer = async (request: Request, socket: Socket): Promise<Response> => {
    try {
      return await handler(request, connectionFor(socket));
    } catch (error) {
      log.error('request handler failed', { error: errorText(error), stack: error instanceof Error ? error.stack : undefined });
      return new Response('internal error\n', { status: 500 });
    }
  };
  const listener = getRequestListener((request, env) => answer(request, (env as { incoming: { socket: Socket } }).incoming.socket), {
    overrideGlobalObjects: false,
    errorHandler: () => new Response('This request cannot be understood: its address or its Host header is malformed.\n', { status: 400 }),
  });
  return (incoming, outgoing) => {
    if (stopping.aborted && incoming.httpVersionMajor < 2) outgoing.setHeader('connection', 'close');
    const own = raw.find((one) => one.takes(incoming));
    if (incoming.httpVersionMajor < 2) limitBody(incoming as IncomingMessage, { clock: own?.takesLong ? undefined : clock, stopping });
    if (own) own.answer(incoming, outgoing, connectionFor(incoming.socket));
    else void listener(incoming, outgoing);
  };
}

/** Without a clock only those are cut who are gone. Who stops does not wait for bodies that nobody reads: connections have a limit of their own then. */
function limitBody(incoming: IncomingMessage, { clock, stopping }: { clock: Clock | undefined; stopping: AbortSignal }): void {
  const { socket, headers } = incoming;
  if (!clock) return void socket.setKeepAlive(true, keepAliveMs);
  if (headers['transfer-encoding'] === undefined && Number(headers['content-length'] ?? 0) === 0) return;
  const done = new AbortController();
  incoming.once('end', () => done.abort()).once('close', () => done.abort());
  clock.sleep(bodyMs, { signal: AbortSignal.any([done.signal, stopping]) }).then(
    () => socket.destroy(),
    () => undefined,
  );
}

async function listen(server: Server, { host, port }: ListenOptions): Promise<AddressInfo> {
  try {
    server.listen({ host, port });
    await once(server, 'listening');
  } catch (error) {
    throw new CroftError('unavailable', `cannot listen on ${host}:${port}: ${errorText(error)}`, {
      cause: error,
      hint: hintOf(systemCode(error), port),
    });
  }
  return server.address() as AddressInfo;
}

function hintOf(code: string | undefined, port: number): string {
  if (code === 'EADDRINUSE') {
    return `Another program has this port (perhaps a Croft that is already running; on Linux "ss -ltnp sport = :${port}" shows it). End it, or choose another port; port 0 takes any free one.`;
  }
  if (code === 'EACCES') return 'Ports below 1024 need privileges: choose a higher one and put a proxy in front if it must be this one.';
  if (code === 'EADDRNOTAVAIL' || code === 'ENOTFOUND')
    return 'This machine has no such address: use 127.0.0.1, or one that "ip address" lists.';
  return 'Choose another address or port.';
}

/** Ends what can end, then cuts the rest. */
async function close(server: Server, { http2, cut, clock, graceMs }: Closing): Promise<void> {
  const closed = once(server, 'close');
  server.close();
  http2.close();
  const over = clock.deadline(graceMs);
  while (!over.aborted) {
    server.closeIdleConnections();
    const outcome = await Promise.race([closed.then(() => 'closed'), clock.sleep(20).then(() => 'waiting')]);
    if (outcome === 'closed') return;
  }
  server.closeAllConnections();
  http2.destroy();
  cut();
  await closed;
}

interface Closing {
  readonly http2: Http2Side;
  /** Everything that is connected. */
  cut(): void;
  readonly clock: Clock;
  readonly graceMs: number;
}

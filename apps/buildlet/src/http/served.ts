/** A buildlet as others reach it, whether it listens or has dialled them; and how that comes to its end. */
import { once } from 'node:events';
import type { RequestListener } from 'node:http';
import type { AddressInfo, Socket } from 'node:net';
import { SECOND, type Clock } from '@croft/runtime/clock';
import type { Config } from '../config.ts';
import { shownAddress } from '../settings/addresses.ts';
import { listen } from './listener.ts';

/** Disposing it takes nothing new, waits for what is under way, and cuts what takes longer. */
export interface Served extends AsyncDisposable {
  /** `unix:/path`, `host:port`, or the coordinator that was dialled. */
  readonly address: string;
  /** Resolves when it can be reached no more and will not be again; rejects when it never could. */
  readonly ended?: Promise<void>;
}

/** When it is stopped: uploads and the like may come to their end. */
export const requestsEndWithinMs = 5 * SECOND;

export async function openListening(config: Config, onRequest: RequestListener, clock: Clock): Promise<Served> {
  const server = await listen(config.listen, { insecure: config.insecureListen, tls: config.tls }, onRequest);
  const sockets = new Set<Socket>(); // those that were taken over, too, which the server knows no more
  server.on('connection', (socket: Socket) => {
    sockets.add(socket);
    socket.once('close', () => sockets.delete(socket));
  });
  let closing = false;
  server.on('request', (_, response) => response.once('close', () => closing && server.closeIdleConnections()));
  return {
    address: boundAddress(config.listen, server.address()),
    async [Symbol.asyncDispose]() {
      const closed = once(server, 'close');
      closing = true;
      server.close();
      await within(closed, requestsEndWithinMs, clock);
      for (const socket of sockets) socket.destroy();
    },
  };
}

/** Waits for work to end, but no longer than that. */
export async function within(work: Promise<unknown>, limitMs: number, clock: Clock): Promise<void> {
  const deadline = new AbortController();
  await Promise.race([work, clock.sleep(limitMs, { signal: deadline.signal }).catch(() => {})]);
  deadline.abort();
}

/** The port is known only now when any free one was asked for. */
function boundAddress(asked: Config['listen'], bound: string | AddressInfo | null): string {
  return asked.kind === 'tcp' && bound && typeof bound === 'object' ? shownAddress({ ...asked, port: bound.port }) : shownAddress(asked);
}

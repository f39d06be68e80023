/** A buildlet that nobody can dial: it keeps a line to its coordinator and serves the connections that it is asked to make. */
import type { RequestListener } from 'node:http';
import type { Duplex } from 'node:stream';
import { SECOND } from '@croft/runtime/clock';
import { CroftError, errorText } from '@croft/runtime/errors';
import { createServer } from '@croft/runtime/node-http';
import { createTaskGroup } from '@croft/runtime/tasks';
import type { Config } from '../config.ts';
import { messages } from '../events.ts';
import { admit } from '../http/gate.ts';
import { maxHeaderBytes } from '../http/listener.ts';
import { requestsEndWithinMs, within, type Served } from '../http/served.ts';
import { shownAddress } from '../settings/addresses.ts';
import type { ReverseSettings } from '../settings/coordinator.ts';
import { dialCoordinator } from './dial.ts';
import { serveHealth } from './health.ts';
import { keepLine, type LineDeps } from './keep-line.ts';

export type ReverseDeps = Omit<LineDeps, 'dial' | 'serve' | 'signOfLifeMs'>;

const longestSignOfLifeMs = 5 * SECOND;

export async function openReverse(
  settings: ReverseSettings,
  { healthAddress, orphanedAfterMs }: Pick<Config, 'healthAddress' | 'orphanedAfterMs'>,
  onRequest: RequestListener,
  deps: ReverseDeps,
): Promise<Served> {
  await using stack = new AsyncDisposableStack();
  const { log, clock } = deps;
  if (healthAddress) stack.use(await serveHealth(healthAddress, log));
  const ended = Promise.withResolvers<void>();
  const tasks = stack.use(createTaskGroup((_, error) => ended.reject(error)));
  ended.promise.catch((error: unknown) => log.error(messages.lineFailed, { error: errorText(error) }));
  const connections = stack.use(createConnections(onRequest, deps));
  tasks.start('keep the line', async (waits) => {
    await keepLine(
      settings,
      {
        ...deps,
        signOfLifeMs: Math.min(longestSignOfLifeMs, orphanedAfterMs / 4),
        dial: (dialWaits) => dialCoordinator(settings, clock, dialWaits),
        serve: connections.serve,
      },
      waits,
    );
    ended.resolve();
  });
  const owned = stack.move();
  return {
    address: shownAddress({ kind: 'tcp', ...settings.coordinator }),
    ended: ended.promise,
    [Symbol.asyncDispose]: () => owned.disposeAsync(),
  };
}

interface Connections extends AsyncDisposable {
  serve(socket: Duplex): void;
}

/** HTTP over connections that were dialled. Their other end speaks when it likes, so nothing but the head of a request is limited. */
function createConnections(onRequest: RequestListener, { clock }: Pick<ReverseDeps, 'clock'>): Connections {
  const server = createServer({ maxHeaderSize: maxHeaderBytes }, onRequest);
  Object.assign(server, { requestTimeout: 0, headersTimeout: 0, keepAliveTimeout: 0, timeout: 0 });
  const sockets = new Set<Duplex>();
  /** What the server sees of them, with the requests under way on each. */
  const busy = new Map<Duplex, number>();
  const drained = Promise.withResolvers<void>();
  let ending = false;
  const settle = (): void => {
    if (!ending) return;
    for (const [admitted, requests] of busy) if (requests === 0) admitted.destroy();
    if (sockets.size === 0) drained.resolve();
  };
  const count = (admitted: Duplex, step: number): void => {
    if (busy.has(admitted)) busy.set(admitted, (busy.get(admitted) ?? 0) + step);
    settle();
  };
  server.on('connection', (admitted: Duplex) => {
    busy.set(admitted, 0);
    admitted.once('close', () => busy.delete(admitted));
  });
  server.on('request', ({ socket }, response) => {
    count(socket, 1);
    response.once('close', () => count(socket, -1));
  });
  return {
    serve(socket) {
      sockets.add(socket);
      socket.once('close', () => {
        sockets.delete(socket);
        settle();
      });
      admit(socket, (admitted) => server.emit('connection', admitted), { maxHeadBytes: maxHeaderBytes });
    },
    async [Symbol.asyncDispose]() {
      ending = true;
      settle();
      await within(drained.promise, requestsEndWithinMs, clock);
      for (const socket of sockets) socket.destroy(new CroftError('stopped', 'the buildlet ends'));
    },
  };
}

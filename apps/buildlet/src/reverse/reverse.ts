/** A buildlet that nobody can dial: it keeps a line to its coordinator and serves the connections that it is asked to make. */
import { createServer, type RequestListener } from 'node:http';
import type { Duplex } from 'node:stream';
import { SECOND } from '@croft/runtime/clock';
import { CroftError, errorText } from '@croft/runtime/errors';
import { createTaskGroup } from '@croft/runtime/tasks';
import type { Config } from '../config.ts';
import { messages } from '../events.ts';
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
  /** With the requests under way on each. */
  const open = new Map<Duplex, number>();
  let drained = Promise.withResolvers<void>();
  let ending = false;
  const settle = (): void => {
    for (const [socket, busy] of open) if (ending && busy === 0) socket.destroy();
    if (open.size === 0) drained.resolve();
  };
  server.on('request', ({ socket }, response) => {
    open.set(socket, (open.get(socket) ?? 0) + 1);
    response.once('close', () => {
      if (open.has(socket)) open.set(socket, (open.get(socket) ?? 1) - 1);
      settle();
    });
  });
  return {
    serve(socket) {
      open.set(socket, 0);
      socket.once('close', () => {
        open.delete(socket);
        settle();
      });
      server.emit('connection', socket);
      socket.resume();
    },
    async [Symbol.asyncDispose]() {
      ending = true;
      drained = Promise.withResolvers();
      settle();
      await within(drained.promise, requestsEndWithinMs, clock);
      for (const socket of open.keys()) socket.destroy(new CroftError('stopped', 'the buildlet ends'));
    },
  };
}

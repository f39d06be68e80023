/** `/healthz` on an address of its own, for the supervisor of a buildlet that nobody can dial otherwise. buildlet.md 1.13. */
import { once } from 'node:events';
import { errorText } from '@croft/runtime/errors';
import type { Log } from '@croft/runtime/log';
import { createServer } from '@croft/runtime/node-http';
import { messages } from '../events.ts';
import { shownAddress, type ListenAddress } from '../settings/addresses.ts';

const headMs = 5_000;
const maxConnections = 64;

/** That nothing can listen there is logged, and no reason not to work. */
export async function serveHealth(address: ListenAddress, log: Log): Promise<AsyncDisposable> {
  const server = createServer({ maxHeaderSize: 4096, connectionsCheckingInterval: headMs }, ({ url }, response) => {
    const [status, body] = url === '/healthz' ? [200, 'ok\n'] : [404, '404 page not found\n'];
    response.writeHead(status, { 'Content-Type': 'text/plain; charset=utf-8', Connection: 'close' }).end(body);
  });
  Object.assign(server, { headersTimeout: headMs, requestTimeout: headMs, maxConnections });
  server.listen(address.kind === 'unix' ? { path: address.path } : { host: address.host, port: address.port });
  try {
    await once(server, 'listening');
  } catch (error) {
    log.warn(messages.healthClosed, { address: shownAddress(address), error: errorText(error) });
  }
  return {
    async [Symbol.asyncDispose]() {
      server.closeAllConnections();
      if (server.listening) await new Promise((resolve) => server.close(resolve));
    },
  };
}

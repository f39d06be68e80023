/** Addresses of this machine's loopback under which tests answer for names of Go's: nobody else uses them. */
import { once } from 'node:events';
import { connect, createServer, type Socket } from 'node:net';

/** Passes on what comes to `port` of `address` to port `to` of 127.0.0.1; undefined when somebody else has it. */
export async function answerFor(address: string, port: number, to: number): Promise<AsyncDisposable | undefined> {
  const sockets = new Set<Socket>();
  const server = createServer({ allowHalfOpen: true }, (near) => {
    const far = connect({ port: to, host: '127.0.0.1', allowHalfOpen: true });
    for (const [one, other] of [
      [near, far],
      [far, near],
    ] as const) {
      sockets.add(one);
      one.on('error', () => other.destroy()).on('close', () => other.destroy());
      one.pipe(other);
    }
  }).listen(port, address);
  try {
    await once(server, 'listening');
  } catch {
    return undefined;
  }
  return {
    async [Symbol.asyncDispose]() {
      const closed = once(server, 'close');
      server.close();
      for (const socket of sockets) socket.destroy();
      await closed;
    },
  };
}

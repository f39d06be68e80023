/** Doubles for tests that call a handler without a socket. */
import type { Connection } from './connection.ts';

export function fakeConnection(over: Partial<Connection> = {}): Connection {
  return {
    remoteAddress: '127.0.0.1',
    remotePort: 40_000,
    localAddress: '127.0.0.1',
    localPort: 8080,
    encrypted: false,
    stopping: new AbortController().signal,
    cut() {},
    ...over,
  };
}

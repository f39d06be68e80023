/** One TCP connection as the handlers see it. The same object stands for all requests on it, so it can key a cache. */
import type { Socket } from 'node:net';

export interface Connection {
  /** IPv4 addresses in dotted form even on a dual-stack listener. */
  readonly remoteAddress: string;
  readonly remotePort: number;
  readonly localAddress: string;
  readonly localPort: number;
  readonly encrypted: boolean;
  /** Aborted when the listener begins to close: answers that would go on for ever end then. */
  readonly stopping: AbortSignal;
  /** Breaks the connection, so that a short answer is never mistaken for a complete one. */
  cut(): void;
}

export function connectionOf(socket: Socket, stopping: AbortSignal): Connection {
  return {
    remoteAddress: unmapped(socket.remoteAddress ?? ''),
    remotePort: socket.remotePort ?? 0,
    localAddress: unmapped(socket.localAddress ?? ''),
    localPort: socket.localPort ?? 0,
    encrypted: 'encrypted' in socket && socket.encrypted === true,
    stopping,
    cut: () => void socket.destroy(),
  };
}

export function isLoopback(address: string): boolean {
  return address === '::1' || /^127\.\d{1,3}\.\d{1,3}\.\d{1,3}$/.test(address);
}

function unmapped(address: string): string {
  return address.replace(/^::ffff:(?=\d+\.)/i, '');
}

/** A coordinator's side of reverse mode for tests: a TLS server that takes lines, dials over them, and fails as it is told. */
import { once } from 'node:events';
import type { AddressInfo } from 'node:net';
import { createServer, type TLSSocket } from 'node:tls';
import { createBuildlet, type Buildlet } from '@croft/buildlet/client';
import { systemClock } from '@croft/runtime/clock';
import { systemRandom } from '@croft/runtime/random';
import { createBell } from '@croft/runtime/tasks';
import { createDialers, type Dialer } from '@croft/streams/revdial-dialer';
import type { Pair } from '../testing-tls.ts';

export interface TestLine {
  /** As it came, without the blank line. */
  readonly head: string;
  readonly dialer: Dialer;
  readonly client: Buildlet;
  /** What the buildlet told over it. */
  readonly told: unknown[];
  readonly socket: TLSSocket;
}

export interface TestCoordinator extends AsyncDisposable {
  readonly port: number;
  /** The next one that was opened. */
  nextLine(): Promise<TestLine>;
  /** Every head that came. */
  readonly heads: readonly string[];
}

export interface CoordinatorOptions {
  readonly pair: Pair;
  readonly port?: number;
  /** `go` answers as Go's coordinator does. */
  readonly peer?: 'croft' | 'go';
  /** What a registration is answered instead; a line is opened only by a text with 101. */
  answer?(head: string): string | undefined;
}

const endOfHead = '\r\n\r\n';

export async function startCoordinator({ pair, port = 0, peer = 'croft', answer }: CoordinatorOptions): Promise<TestCoordinator> {
  const dialers = createDialers({ clock: systemClock, random: systemRandom, path: '/revdial' });
  const lines: TestLine[] = [];
  const heads: string[] = [];
  const opened = createBell();
  const sockets = new Set<TLSSocket>();
  const taken =
    peer === 'go' ? `HTTP/0.0 101 Switching Protocols${endOfHead}` : `HTTP/1.1 101 Switching Protocols\r\nCroft-Revdial: 1${endOfHead}`;

  const register = async (socket: TLSSocket, head: string): Promise<void> => {
    const text = answer?.(head) ?? taken;
    await new Promise((resolve) => socket.write(text, resolve));
    if (!/^HTTP\/\d\.\d 101/.test(text)) return text.includes(' 307 ') ? next(socket) : void socket.end();
    const told: unknown[] = [];
    const dialer = dialers.open(socket, { peer, onStatus: (status) => told.push(status) });
    const client = createBuildlet({ dial: (waits) => dialer.dial(waits), name: 'worker-1', password: '' }, { clock: systemClock });
    lines.push({ head, dialer, client, told, socket });
    opened.ring();
  };
  const next = async (socket: TLSSocket): Promise<void> => {
    const head = await readHead(socket);
    heads.push(head);
    const [, path = '', query = ''] = /^GET ([^? ]*)\??(\S*) HTTP/.exec(head) ?? [];
    if (path !== '/revdial') return register(socket, head);
    const pickUp = dialers.claim(new URLSearchParams(query));
    await new Promise((resolve) =>
      socket.write(pickUp ? `HTTP/0.0 101 Switching Protocols${endOfHead}` : `HTTP/1.1 400 Bad Request${endOfHead}`, resolve),
    );
    if (pickUp) pickUp.deliver(socket);
    else socket.end();
  };
  const server = createServer({ cert: pair.cert, key: pair.key }, (socket) => {
    sockets.add(socket);
    socket.on('error', () => {}).on('close', () => sockets.delete(socket));
    next(socket).catch(() => socket.destroy());
  });
  await once(server.listen(port, '127.0.0.1'), 'listening');
  return {
    port: (server.address() as AddressInfo).port,
    heads,
    async nextLine() {
      while (lines.length === 0) await opened.wait({ signal: systemClock.deadline(20_000) });
      return lines.shift() as TestLine;
    },
    async [Symbol.asyncDispose]() {
      for (const socket of sockets) socket.destroy();
      await dialers[Symbol.asyncDispose]();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

async function readHead(socket: TLSSocket): Promise<string> {
  let text = '';
  for (;;) {
    const piece = socket.read() as Buffer | null;
    if (piece === null) await once(socket, 'readable', { signal: systemClock.deadline(20_000) });
    else text += piece.toString('latin1');
    const end = text.indexOf(endOfHead);
    if (end >= 0) return text.slice(0, end);
  }
}

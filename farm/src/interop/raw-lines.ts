/** Connections that a test speaks on by hand, byte by byte: as the coordinator of a buildlet, or as a buildlet of a coordinator. */
import { once } from 'node:events';
import type { AddressInfo, Socket } from 'node:net';
import { connect, createServer, type TLSSocket } from 'node:tls';
import type { KeyPair } from '@croft/buildlet/key-pair';
import { SECOND, systemClock } from '@croft/runtime/clock';

export interface RawLine {
  /** All up to this text and with it, once it is there. @throws Error when the line ends before, or after 20 s */
  until(text: string): Promise<string>;
  /** This many bytes. @throws as `until` */
  bytes(count: number): Promise<string>;
  /** What has come and was not taken. */
  readonly rest: string;
  write(text: string): void;
  /** Resolves when the other side has ended or cut it. */
  readonly ended: Promise<void>;
  close(): void;
}

export interface RawCoordinator extends AsyncDisposable {
  readonly port: number;
  /** The next connection that nobody has taken. */
  next(): Promise<RawLine>;
  /** How many have come in all. */
  readonly count: number;
}

export const head = '\r\n\r\n';
const waitMs = 20 * SECOND;

export async function openRawCoordinator({ certificate, key }: KeyPair): Promise<RawCoordinator> {
  const waiting: RawLine[] = [];
  const takers: ((line: RawLine) => void)[] = [];
  const sockets = new Set<TLSSocket>();
  let count = 0;
  const server = createServer({ cert: certificate, key }, (socket) => {
    count += 1;
    sockets.add(socket);
    const line = rawLine(socket);
    const taker = takers.shift();
    if (taker) taker(line);
    else waiting.push(line);
  });
  server.on('tlsClientError', () => undefined); // a probe that hung up
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return {
    port: (server.address() as AddressInfo).port,
    get count() {
      return count;
    },
    next() {
      const line = waiting.shift();
      if (line) return Promise.resolve(line);
      const { promise, resolve, reject } = Promise.withResolvers<RawLine>();
      takers.push(resolve);
      systemClock.deadline(waitMs).addEventListener('abort', () => reject(new Error('no connection came')), { once: true });
      return promise;
    },
    async [Symbol.asyncDispose]() {
      const closed = once(server, 'close');
      server.close();
      for (const socket of sockets) socket.destroy();
      await closed;
    },
  };
}

/** Whose certificate it is does not matter. */
export async function dialRaw(port: number): Promise<RawLine> {
  const socket = connect({ port, host: '127.0.0.1', rejectUnauthorized: false });
  await once(socket, 'secureConnect', { signal: systemClock.deadline(waitMs) });
  return rawLine(socket);
}

export function rawLine(socket: Socket): RawLine {
  let rest = '';
  let isOver = false;
  let wake = Promise.withResolvers<void>();
  const ended = Promise.withResolvers<void>();
  const tell = (): void => {
    wake.resolve();
    wake = Promise.withResolvers();
  };
  const end = (): void => {
    isOver = true;
    ended.resolve();
    tell();
  };
  /** @param lengthOf how much is to be taken, below 0 while it is not there */
  const take = async (what: string, lengthOf: () => number): Promise<string> => {
    const deadline = systemClock.deadline(waitMs);
    deadline.addEventListener('abort', tell, { once: true });
    for (;;) {
      const length = lengthOf();
      if (length >= 0) {
        const taken = rest.slice(0, length);
        rest = rest.slice(length);
        return taken;
      }
      if (isOver || deadline.aborted)
        throw new Error(`${isOver ? 'the line ended' : 'waited too long'} before ${what}: ${JSON.stringify(rest)}`);
      await wake.promise;
    }
  };
  socket.setEncoding('latin1').on('data', (piece: string) => {
    rest += piece;
    tell();
  });
  socket.on('end', end).on('close', end).on('error', end);
  return {
    get rest() {
      return rest;
    },
    until: (text) => take(JSON.stringify(text), () => (rest.includes(text) ? rest.indexOf(text) + text.length : -1)),
    bytes: (count) => take(`${count} bytes`, () => (rest.length >= count ? count : -1)),
    write: (text) => void socket.write(text, 'latin1'),
    ended: ended.promise,
    close: () => void socket.destroy(),
  };
}

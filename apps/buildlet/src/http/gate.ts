/**
 * The way of a connection to the HTTP server. A request that takes its connection over (`/connect-ssh`, `/connect`, `/listen`, `/sftp`) must not be followed by bytes that
 * the server's parser would swallow or refuse: of such a connection the parser sees the head alone, and what came behind it is kept.
 */
import type { Server } from 'node:http';
import type { Socket } from 'node:net';
import { Duplex } from 'node:stream';
import { CroftError } from '@croft/runtime/errors';

const beginnings = ['POST /connect-ssh', 'POST /connect?', 'POST /listen?', 'POST /sftp?'].map((text) => Buffer.from(text));
const endOfHead = '\r\n\r\n';
/** For a client that was refused to take its leave. */
const lingerMs = 5_000;

export interface GateLimits {
  readonly maxHeadBytes: number;
  /** How long a connection may say nothing before its first head has come; for ever when absent. */
  readonly headMs?: number;
}

/** Every connection of a server that listens goes through the gate. `event`: with TLS `secureConnection`. */
export function gateServer(server: Server, event: 'connection' | 'secureConnection', limits: GateLimits): void {
  const serve = server.listeners(event) as ((socket: Duplex) => void)[];
  server.removeAllListeners(event);
  server.on(event, (socket: Socket) => {
    admit(socket, (admitted) => serve.forEach((listener) => listener.call(server, admitted)), limits);
  });
}

/** Looks at how the connection begins and gives it, or the gate before it, to `serve`. */
export function admit(socket: Duplex, serve: (admitted: Duplex) => void, { maxHeadBytes, headMs = 0 }: GateLimits): void {
  let seen: Buffer = Buffer.alloc(0);
  const look = (): void => {
    for (let piece: Buffer | null; (piece = socket.read() as Buffer | null) !== null;) {
      seen = seen.length === 0 ? piece : Buffer.concat([seen, piece]);
      const end = seen.indexOf(endOfHead);
      if (!mayTakeOver(seen) || seen.length > maxHeadBytes) return pass();
      if (end >= 0) return hold(end + endOfHead.length);
    }
  };
  const leave = (): void => {
    socket.removeListener('readable', look).removeListener('end', giveUp).removeListener('timeout', giveUp).removeListener('error', ignore);
    setTimeoutOf(socket, 0);
  };
  const pass = (): void => {
    leave();
    serve(socket);
    socket.unshift(seen);
    socket.resume();
  };
  const hold = (headEnd: number): void => {
    leave();
    serve(gateBefore(socket, seen.subarray(0, headEnd), seen.subarray(headEnd)));
  };
  const giveUp = (): void => void socket.destroy();
  socket.on('readable', look).on('end', giveUp).on('timeout', giveUp).on('error', ignore);
  setTimeoutOf(socket, headMs);
}

interface Held {
  readonly socket: Duplex;
  takeOver(): Duplex;
}

const gates = new WeakMap<object, Held>();

/** The connection itself, where the HTTP server was given a gate before it. */
export function behindGate(admitted: object): Held | undefined {
  return gates.get(admitted);
}

/** A connection of which the HTTP server is given one head, and writes the answer to. */
function gateBefore(socket: Duplex, head: Buffer, rest: Buffer): Duplex {
  let unread: Buffer | undefined = head;
  let taken = false;
  const gate = new Duplex({
    read() {
      if (unread) this.push(unread);
      unread = undefined;
    },
    write: (chunk: Buffer, _, done) => void socket.write(chunk, done),
    /** What still comes is read and forgotten: closing at once would take the answer away. */
    final(done) {
      const close = (): void => void socket.destroy();
      socket.on('end', close).on('timeout', close).resume();
      setTimeoutOf(socket, lingerMs);
      socket.end(done);
    },
    destroy(error, done) {
      if (!taken && !this.writableFinished) socket.destroy();
      done(error);
    },
  });
  socket.on('error', ignore).on('close', () => gate.destroy());
  gates.set(gate, {
    socket,
    takeOver() {
      if (gate.destroyed || taken) throw new CroftError('cancelled', 'the client has gone away');
      taken = true;
      if (rest.length > 0) socket.unshift(rest);
      gate.destroy(); // of no use any more
      return socket;
    },
  });
  return gate;
}

function mayTakeOver(seen: Buffer): boolean {
  return beginnings.some((beginning) => {
    const length = Math.min(seen.length, beginning.length);
    return seen.compare(beginning, 0, length, 0, length) === 0;
  });
}

/** Of silence; only a socket has one. */
function setTimeoutOf(socket: Duplex, ms: number): void {
  (socket as Partial<Pick<Socket, 'setTimeout'>>).setTimeout?.(ms);
}

function ignore(): void {}

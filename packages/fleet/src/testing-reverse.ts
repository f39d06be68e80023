/** Machines that dial in, for tests: each end of their lines is in this process, and what answers may be anything. */
import { createServer, type RequestListener } from 'node:http';
import { duplexPair, type Duplex } from 'node:stream';
import type { Clock } from '@croft/runtime/clock';
import { openListener, type Listener } from '@croft/streams/revdial-listener';
import type { Arrival, ReverseDesk } from './reverse-desk.ts';

export interface DialledIn extends AsyncDisposable {
  readonly listener: Listener;
  /** The machine's end of the control line. */
  readonly control: Duplex;
}

export interface DialIn {
  readonly clock: Clock;
  readonly arrival: Arrival;
  /** What `/status` gives under `Croft`; none for a buildlet of Go. */
  status?(): unknown;
  /** Has a connection that was picked up. */
  serve(socket: Duplex): void;
}

/** A machine's line to the desk; undefined when it is not let in. */
export function dialIn(desk: ReverseDesk, { clock, arrival, status = () => undefined, serve }: DialIn): DialledIn {
  const [near, control] = duplexPair();
  const listener = openListener(control, {
    peer: arrival.boot === undefined ? 'go' : 'croft',
    clock,
    status,
    async dial(path) {
      const pickUp = desk.claim(new URL(path, 'http://coordinator').searchParams);
      if (!pickUp) throw new Error('switch failed: want HTTP status 101 or 307; got 400 Bad Request:\n\tunknown dialer\n');
      const [ours, theirs] = duplexPair();
      pickUp.deliver(ours);
      return theirs;
    },
  });
  desk.receive(arrival, near);
  const accepting = (async () => {
    for (;;) serve(await listener.accept());
  })().catch(() => undefined);
  return {
    listener,
    control,
    async [Symbol.asyncDispose]() {
      await listener[Symbol.asyncDispose]();
      await accepting;
    },
  };
}

/** Serves picked-up connections as a buildlet would. */
export function serveWith(onRequest: RequestListener): (socket: Duplex) => void {
  const server = createServer(onRequest);
  return (socket) => {
    server.emit('connection', socket);
    socket.resume();
  };
}

/** `GET /status` of a buildlet. */
export function answerStatus(status: () => object): RequestListener {
  return (_, response) => void response.setHeader('content-type', 'application/json').end(JSON.stringify(status()));
}

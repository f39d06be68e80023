/**
 * The control line of revdial v2: one JSON object a line in each direction, at most 4096 bytes with its line feed. What is not
 * known is ignored; what is no JSON object ends the line. See docs/protocols/revdial.md.
 */
import type { Duplex } from 'node:stream';
import { SECOND, type Clock } from '@croft/runtime/clock';
import { CroftError, errorText } from '@croft/runtime/errors';

/** Who is at the other end: a Croft answers keep-alives with its own, Go's listener never sends any. */
export type Peer = 'croft' | 'go';

/** How long a message may fail to come or go, and a connection to be fetched. */
export const liveness = {
  /** Between two Crofts each side speaks this often. */
  pingMs: 5 * SECOND,
  /** Between two Crofts a silence this long ends the line. */
  lostMs: 15 * SECOND,
  /** Go's listener hears from us at least this often. */
  goPingMs: 30 * SECOND,
  /** Go's dialer speaks every 30 s: one that was silent this long is gone. */
  goLostMs: 90 * SECOND,
  pickUpMs: 30 * SECOND,
  /** A message goes out within this time, or the line ends. */
  writeMs: 10 * SECOND,
} as const;

/** Go's programs end a line that is longer, its line feed included. */
export const maxLineBytes = 4096;

export type ControlMessage =
  | { readonly command: 'keep-alive' }
  /** Dialer to listener: fetch a connection at this path. */
  | { readonly command: 'conn-ready'; readonly connPath: string }
  /** Listener to dialer. Go's listener leaves the path out when the answer was not 101. */
  | { readonly command: 'pickup-failed'; readonly connPath: string; readonly err: string }
  /** Listener to dialer, between two Crofts: what `/status` would answer under `Croft`. */
  | { readonly command: 'status'; readonly status: unknown };

/** A message as its line. An `err` that does not fit is cut. @throws CroftError `too-large` when the rest does not fit either. */
export function encodeLine(message: ControlMessage): Buffer {
  if (message.command === 'pickup-failed') return encodeFailure(message.connPath, message.err);
  const line = toLine(message);
  if (line.length > maxLineBytes) throw new CroftError('too-large', `revdial: a ${message.command} line of ${line.length} bytes`);
  return line;
}

function encodeFailure(connPath: string, err: string): Buffer {
  const command = 'pickup-failed';
  const withPath = toLine({ command, connPath }).length <= maxLineBytes - ',"err":""'.length;
  const lineOf = (length: number): Buffer => toLine({ command, ...(withPath && { connPath }), err: err.slice(0, length) });
  let [fits, tooLong] = [0, Math.min(err.length, maxLineBytes) + 1];
  while (tooLong - fits > 1) {
    const middle = (fits + tooLong) >> 1;
    if (lineOf(middle).length <= maxLineBytes) fits = middle;
    else tooLong = middle;
  }
  return lineOf(fits);
}

function toLine(value: object): Buffer {
  return Buffer.from(`${JSON.stringify(value)}\n`);
}

/** Bytes in, messages out; unknown commands are left out. @throws CroftError `invalid`, after which it must not be used again. */
export function createLineDecoder(): (bytes: Uint8Array) => ControlMessage[] {
  let begun: Buffer = Buffer.alloc(0);
  return (bytes) => {
    const data = begun.length === 0 ? Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength) : Buffer.concat([begun, bytes]);
    const messages: ControlMessage[] = [];
    let from = 0;
    for (let end = data.indexOf(0x0a); end >= 0; end = data.indexOf(0x0a, from)) {
      if (end + 1 - from > maxLineBytes) throw tooLong();
      const message = parseLine(data.toString('utf8', from, end));
      if (message) messages.push(message);
      from = end + 1;
    }
    if (data.length - from >= maxLineBytes) throw tooLong();
    begun = Buffer.from(data.subarray(from));
    return messages;
  };
}

function tooLong(): CroftError {
  return new CroftError('invalid', `revdial: a control line of more than ${maxLineBytes} bytes`);
}

function parseLine(text: string): ControlMessage | undefined {
  const fields = parseObject(text);
  const [command, connPath, err] = ['command', 'connPath', 'err'].map((name) => textOf(fields, name));
  switch (command) {
    case 'keep-alive':
      return { command };
    case 'conn-ready':
      return { command, connPath: connPath ?? '' };
    case 'pickup-failed':
      return { command, connPath: connPath ?? '', err: err ?? '' };
    case 'status':
      return { command, status: fields['status'] };
    default:
      return undefined;
  }
}

function parseObject(text: string): Record<string, unknown> {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (error) {
    throw new CroftError('invalid', 'revdial: a control line that is not JSON', { cause: error });
  }
  if (typeof value !== 'object' || value === null || Array.isArray(value))
    throw new CroftError('invalid', 'revdial: a control line that is no JSON object');
  return value as Record<string, unknown>;
}

function textOf(fields: Record<string, unknown>, name: string): string {
  const value = fields[name] ?? '';
  if (typeof value !== 'string') throw new CroftError('invalid', `revdial: "${name}" of a control line is not text`);
  return value;
}

export interface ControlLine {
  /** Monotonic ms of the last bytes from the other side; of its start when there were none. */
  readonly heardAt: number;
  /** Monotonic ms of the last message to it. */
  readonly sentAt: number;
  readonly closed: boolean;
  /** Goes out in the order sent; nothing happens when the line is closed. */
  send(message: ControlMessage): void;
  /**
   * Closes the line when the other side was silent this long, or a message did not go out in time.
   * @returns monotonic ms at which that can be so at the earliest
   */
  check(silenceMs: number): number;
  close(why: CroftError): void;
}

export interface ControlLineOptions {
  readonly clock: Clock;
  onMessage(message: ControlMessage): void;
  /** Once, with what ended it. */
  onClosed(why: CroftError): void;
}

/** Owns the socket from here on. An end from the other side is the end of both directions. */
export function openControlLine(socket: Duplex, { clock, onMessage, onClosed }: ControlLineOptions): ControlLine {
  const decode = createLineDecoder();
  let heardAt = clock.monotonic();
  let sentAt = heardAt;
  let closed = false;
  const unsent: number[] = []; // when each message that has not gone out was sent; bounded by `check`
  const close = (why: CroftError): void => {
    if (closed) return;
    closed = true;
    socket.destroy();
    onClosed(why);
  };
  const gone = (what: string, cause?: unknown): void =>
    close(new CroftError('unavailable', `revdial: the control line ${what}`, cause === undefined ? {} : { cause }));
  socket.on('data', (bytes: Buffer) => {
    if (closed) return;
    heardAt = clock.monotonic();
    try {
      for (const message of decode(bytes)) if (!closed) onMessage(message);
    } catch (error) {
      close(error instanceof CroftError ? error : new CroftError('internal', `revdial: ${errorText(error)}`, { cause: error }));
    }
  });
  socket.on('end', () => gone('was ended by the other side'));
  socket.on('close', () => gone('was cut'));
  socket.on('error', (error) => gone('failed', error));
  socket.resume();
  return {
    get heardAt() {
      return heardAt;
    },
    get sentAt() {
      return sentAt;
    },
    get closed() {
      return closed;
    },
    send(message) {
      if (closed) return;
      sentAt = clock.monotonic();
      unsent.push(sentAt);
      socket.write(encodeLine(message), () => void unsent.shift());
    },
    check(silenceMs) {
      const now = clock.monotonic();
      if (now - (unsent[0] ?? now) >= liveness.writeMs) gone(`took no message for ${liveness.writeMs / SECOND} s`);
      if (now - heardAt >= silenceMs) gone(`was silent for ${silenceMs / SECOND} s`);
      return Math.min(heardAt + silenceMs, (unsent[0] ?? now) + liveness.writeMs);
    },
    close,
  };
}

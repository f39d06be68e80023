/**
 * An HTTP/1.1 answer with a long body, read into one buffer again and again. Node's own client makes two pieces of garbage of each
 * 64 KiB, and clearing them away costs more than storing them. @see RFC 9112, 6 and 7
 */
import { CroftError } from '@croft/runtime/errors';
import { openByteInput, type ByteInput } from '@croft/streams/byte-input';
import { pourAll, type Take } from '@croft/streams/pour';
import { hostHeader, pathAt, type BuildletAddress } from './address.ts';
import { connectTo } from './connect.ts';

const bufferBytes = 256 * 1024;
const maxHeadBytes = 16 * 1024;
const maxSizeLineBytes = 256;

export interface LongQuestion {
  readonly method: string;
  /** With the query; every part of it already encoded, as are the headers. */
  readonly path: string;
  readonly headers: Readonly<Record<string, string>>;
}

export interface LongAnswer extends AsyncDisposable {
  readonly status: number;
  /** Each piece is good only until the next one is asked for. Throws `unavailable` when the body is cut or its end cannot be told. */
  body(): AsyncGenerator<Buffer>;
  /** In its place. @see pour */
  pour(take: Take): Promise<void>;
}

/** Asks over a connection of its own and resolves with the head of the answer. @throws CroftError `unavailable`, or what the system says */
export async function askForLong(address: BuildletAddress, question: LongQuestion, waits: { signal: AbortSignal }): Promise<LongAnswer> {
  const pieces = exchangeBytes(address, requestHead(address, question), waits.signal);
  try {
    const input = openByteInput(pieces);
    const { status, framing } = await readHead(input);
    const body = (): AsyncGenerator<Buffer> => (framing === 'chunked' ? chunkedBody(input) : plainBody(input, framing));
    return {
      status,
      body,
      pour: (take) => pourAll(body(), take),
      [Symbol.asyncDispose]: async () => void (await pieces.return(undefined)),
    };
  } catch (error) {
    await pieces.return(undefined);
    throw error;
  }
}

function requestHead(address: BuildletAddress, { method, path, headers }: LongQuestion): string {
  const all = { Host: hostHeader(address), ...headers, Connection: 'close' };
  const lines = Object.entries(all).map(([header, value]) => `${header}: ${value}\r\n`);
  return `${method} ${pathAt(address, path)} HTTP/1.1\r\n${lines.join('')}\r\n`;
}

/** What comes back, in one buffer: nothing is read while a piece of it is in use. */
async function* exchangeBytes(address: BuildletAddress, request: string, signal: AbortSignal): AsyncGenerator<Buffer, undefined> {
  const buffer = Buffer.allocUnsafeSlow(bufferBytes);
  let come = Promise.withResolvers<number>();
  const callback = (bytes: number): boolean => {
    come.resolve(bytes);
    return false;
  };
  const socket = await connectTo(address, { signal, onread: { buffer, callback } });
  socket.on('error', (error) => come.reject(error)).on('close', () => come.resolve(0));
  const abort = (): void => void socket.destroy(signal.reason as Error);
  signal.addEventListener('abort', abort, { once: true });
  if (signal.aborted) abort();
  socket.resume();
  socket.write(request);
  try {
    for (;;) {
      const bytes = await come.promise;
      if (bytes === 0) return undefined;
      come = Promise.withResolvers();
      come.promise.catch(() => undefined); // told to whoever asks for the next piece
      yield buffer.subarray(0, bytes);
      socket.resume();
    }
  } finally {
    signal.removeEventListener('abort', abort);
    socket.destroy();
  }
}

async function readHead(input: ByteInput): Promise<{ status: number; framing: 'chunked' | number }> {
  const [, status] = /^HTTP\/1\.1 ([2-5]\d\d)( |$)/.exec(await readLine(input, maxHeadBytes)) ?? [];
  if (status === undefined) throw unusable('it does not begin as one');
  let framing: 'chunked' | number = Infinity;
  for (;;) {
    const line = await readLine(input, maxHeadBytes);
    if (line === '') return { status: Number(status), framing };
    if (input.received > maxHeadBytes + bufferBytes) throw unusable('its head is too long');
    const [, name = '', value = ''] = /^([^:\s]+):[ \t]*(.*?)[ \t]*$/.exec(line) ?? [];
    if (/^transfer-encoding$/i.test(name)) framing = /^chunked$/i.test(value) ? 'chunked' : framing;
    else if (/^content-length$/i.test(name) && framing !== 'chunked') framing = /^\d{1,15}$/.test(value) ? Number(value) : framing;
  }
}

/** A chunk that is on its way is waited for and given as one, so that each piece is worth the trips that it makes from here on. */
async function* chunkedBody(input: ByteInput): AsyncGenerator<Buffer> {
  let buffer: Buffer | undefined; // most runs write little and never need it
  const room = (): Buffer => (buffer ??= Buffer.allocUnsafeSlow(bufferBytes));
  for (;;) {
    const [, size] = /^([0-9a-f]{1,8})[ \t]*(;.*)?$/i.exec(await readLine(input, maxSizeLineBytes)) ?? [];
    if (size === undefined) throw unusable('the size of a chunk is missing');
    const bytes = Number.parseInt(size, 16);
    if (bytes === 0) return; // what may follow is of no use
    for (let left = bytes; left > 0; left -= Math.min(left, bufferBytes)) yield await gather(input, Math.min(left, bufferBytes), room);
    if ((await readLine(input, maxSizeLineBytes)) !== '') throw unusable('a chunk is longer than its size');
  }
}

/** What had come when the line broke is given too: whoever asks again for the rest then gets on, however bad the line. */
async function gather(input: ByteInput, bytes: number, room: () => Buffer): Promise<Buffer> {
  let piece = await take(input, bytes);
  if (piece.length === bytes) return piece;
  for (let at = 0; ;) {
    at += piece.copy(room(), at);
    if (at === bytes) return room().subarray(0, at);
    try {
      piece = await take(input, bytes - at);
    } catch {
      return room().subarray(0, at); // the next one that is asked for fails
    }
  }
}

async function* plainBody(input: ByteInput, bytes: number): AsyncGenerator<Buffer> {
  for (let left = bytes; left > 0;) {
    const piece = await take(input, left);
    left -= piece.length;
    yield piece;
  }
}

async function take(input: ByteInput, atMost: number): Promise<Buffer> {
  const come = await some(input);
  input.unread(come.subarray(atMost));
  return come.subarray(0, atMost);
}

async function readLine(input: ByteInput, maxBytes: number): Promise<string> {
  for (let line = ''; line.length <= maxBytes;) {
    const come = await some(input);
    const end = come.indexOf('\n') + 1;
    line += come.toString('latin1', 0, end || undefined);
    if (end === 0) continue;
    input.unread(come.subarray(end));
    return line.replace(/\r?\n$/, '');
  }
  throw unusable('a line of it is too long');
}

async function some(input: ByteInput): Promise<Buffer> {
  const come = await input.some({});
  if (!come) throw new CroftError('unavailable', 'the answer of the buildlet was cut');
  return come;
}

function unusable(why: string): CroftError {
  return new CroftError('unavailable', `the answer of the buildlet is not understood: ${why}`, {
    hint: 'It may be of another version, or another program may listen there.',
  });
}

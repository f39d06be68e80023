/**
 * Requests after which a connection carries other bytes than HTTP: written and read by hand, since the answer comes from programs whose
 * answers Node refuses, and since what comes in one piece with the answer belongs to whoever takes the connection.
 */
import { once } from 'node:events';
import type { Duplex } from 'node:stream';
import { CroftError } from '@croft/runtime/errors';
import { authorization, hostHeader, pathAt, type BuildletAddress } from './address.ts';
import { connectTo } from './connect.ts';

export interface TakeOver {
  readonly method: string;
  readonly path: string;
  readonly headers: Readonly<Record<string, string>>;
  /** What an answer that is not 101 means. */
  readonly refused: (answer: Refusal) => CroftError;
}

export interface Refusal {
  readonly status: number;
  /** `403 Forbidden`, as it came. */
  readonly line: string;
  /** The beginning of its body. */
  readonly text: string;
}

const maxHeadBytes = 16 * 1024;
const maxRefusalBytes = 4 * 1024;

/** The connection once the other side has said 101, with what came early put back; each way ends by itself. @throws whatever connecting says, or the refusal */
export async function takeOver(address: BuildletAddress, ask: TakeOver, signal: AbortSignal): Promise<Duplex> {
  const stream = await connectTo(address, { signal });
  stream.allowHalfOpen = true; // whoever made it: one that was dialled back is made by a server
  const abort = (): void => void stream.destroy(signal.reason as Error);
  signal.addEventListener('abort', abort, { once: true });
  try {
    if (signal.aborted) abort();
    stream.write(requestText(address, ask));
    const { status, line, length, rest } = await readHead(stream);
    if (status !== 101) throw ask.refused({ status, line, text: await refusalText(stream, rest, length) });
    if (rest.length > 0) stream.unshift(rest);
    return stream;
  } catch (error) {
    stream.on('error', () => undefined).destroy();
    throw signal.aborted ? signal.reason : error;
  } finally {
    signal.removeEventListener('abort', abort);
  }
}

function requestText(address: BuildletAddress, { method, path, headers }: TakeOver): string {
  const all = Object.entries({ Host: hostHeader(address), ...authorization(address), ...headers });
  for (const [name, value] of all) {
    if (/[\r\n\0]/.test(value)) throw new CroftError('invalid', `${name} may not hold a line end`);
  }
  return `${method} ${pathAt(address, path)} HTTP/1.1\r\n${all.map(([name, value]) => `${name}: ${value}\r\n`).join('')}\r\n`;
}

interface Head {
  readonly status: number;
  readonly line: string;
  /** Of its body, where it is told. */
  readonly length: number | undefined;
  readonly rest: Buffer;
}

async function readHead(stream: Duplex): Promise<Head> {
  let come = Buffer.alloc(0);
  for (;;) {
    const end = come.indexOf('\r\n\r\n');
    if (end > maxHeadBytes || (end === -1 && come.length > maxHeadBytes))
      throw new CroftError('unavailable', 'the head of the answer is too long');
    if (end !== -1) {
      const head = come.toString('latin1', 0, end);
      const [, line = '', status] = /^HTTP\/\d\.\d ((\d{3})[^\r\n]*)/.exec(head) ?? [];
      const [, length] = /^content-length: *(\d{1,9}) *$/im.exec(head) ?? [];
      if (status === undefined) throw new CroftError('unavailable', 'the answer is not HTTP');
      return {
        status: Number(status),
        line: line.trim(),
        length: length === undefined ? undefined : Number(length),
        rest: come.subarray(end + 4),
      };
    }
    const piece = await nextPiece(stream);
    if (!piece) throw new CroftError('unavailable', 'the connection was closed before an answer came');
    come = Buffer.concat([come, piece]);
  }
}

/** What is there of it soon where its length is not told; no more of it than is of interest. */
async function refusalText(stream: Duplex, rest: Buffer, length = 1): Promise<string> {
  let text = rest;
  while (text.length < Math.min(length, maxRefusalBytes)) {
    const piece = await nextPiece(stream);
    if (!piece) break;
    text = Buffer.concat([text, piece]);
  }
  return text.toString('utf8', 0, maxRefusalBytes).trim();
}

async function nextPiece(stream: Duplex): Promise<Buffer | undefined> {
  for (;;) {
    const piece = stream.read() as Buffer | null;
    if (piece) return piece;
    if (stream.readableEnded || stream.destroyed) return undefined;
    const over = new AbortController();
    try {
      await Promise.race(['readable', 'end', 'close'].map((event) => once(stream, event, { signal: over.signal })));
    } finally {
      over.abort();
    }
  }
}

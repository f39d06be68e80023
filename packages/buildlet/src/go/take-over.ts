/**
 * Requests after which a connection carries other bytes than HTTP: written and read by hand, since the answer comes from programs whose
 * answers Node refuses, and since what comes in one piece with the answer belongs to whoever takes the connection.
 */
import { once } from 'node:events';
import type { Duplex } from 'node:stream';
import { CroftError } from '@croft/runtime/errors';
import { authorization, hostHeader, pathAt, type BuildletAddress } from '../address.ts';
import { connectTo } from '../connect.ts';

export interface TakeOver {
  readonly method: string;
  readonly path: string;
  readonly headers: Readonly<Record<string, string>>;
  /** Before the status and the body of an answer that is not 101. */
  readonly refusal: string;
}

const maxHeadBytes = 16 * 1024;
const maxRefusalBytes = 4 * 1024;

/** The connection once the other side has said 101, with what came early put back. @throws whatever connecting says, or the refusal */
export async function takeOver(address: BuildletAddress, ask: TakeOver, signal: AbortSignal): Promise<Duplex> {
  const stream = await connectTo(address, { signal });
  const abort = (): void => void stream.destroy(signal.reason as Error);
  signal.addEventListener('abort', abort, { once: true });
  try {
    if (signal.aborted) abort();
    stream.write(requestText(address, ask));
    const { status, line, rest } = await readHead(stream);
    if (status !== 101) throw new CroftError('unavailable', `${ask.refusal}: ${line}, ${await refusalText(stream, rest)}`);
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

async function readHead(stream: Duplex): Promise<{ status: number; line: string; rest: Buffer }> {
  let come = Buffer.alloc(0);
  for (;;) {
    const end = come.indexOf('\r\n\r\n');
    if (end > maxHeadBytes || (end === -1 && come.length > maxHeadBytes))
      throw new CroftError('unavailable', 'the head of the answer is too long');
    if (end !== -1) {
      const [, line = '', status] = /^HTTP\/\d\.\d ((\d{3})[^\r\n]*)/.exec(come.toString('latin1', 0, end)) ?? [];
      if (status === undefined) throw new CroftError('unavailable', 'the answer is not HTTP');
      return { status: Number(status), line: line.trim(), rest: come.subarray(end + 4) };
    }
    const piece = await nextPiece(stream);
    if (!piece) throw new CroftError('unavailable', 'the connection was closed before an answer came');
    come = Buffer.concat([come, piece]);
  }
}

/** What is there of it soon; the rest is of no interest. */
async function refusalText(stream: Duplex, rest: Buffer): Promise<string> {
  let text = rest;
  while (text.length === 0) {
    const piece = await nextPiece(stream);
    if (!piece) break;
    text = piece;
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

/**
 * What comes back from a machine, given to whoever asked for it: in constant memory, as fast as it is read, and cut where the machine
 * cut it. A machine is not trusted: a browser is given nothing from it that it would run.
 */
import { once } from 'node:events';
import type { IncomingHttpHeaders, IncomingMessage, ServerResponse } from 'node:http';
import type { Duplex } from 'node:stream';
import { gather } from '@croft/streams/gather';
import { dropRead } from '@croft/streams/release';
import { secureHeaders } from '@croft/web/headers';
import type { Visit } from './visit.ts';

const passedBack = ['content-length', 'content-encoding', 'content-disposition', 'last-modified', 'trailer'];
const harmless = /^(text\/plain|application\/(json|octet-stream|x-gzip|gzip|x-tar))\s*(;|$)/i;
const sandbox = "sandbox; default-src 'none'; frame-ancestors 'none'";

/** Resolves when all of it was handed on. @throws the signal's reason, or whatever cut the answer; nothing of it is left open then */
export async function relay(answer: IncomingMessage, { outgoing, connection }: Visit, signal: AbortSignal): Promise<void> {
  try {
    writeHead(answer, outgoing, connection.encrypted);
    const pieces = gather(answer, { free: dropRead }); // the parser copies each, and the next is asked for when it was written
    for await (const piece of pieces) await written(outgoing, piece, signal);
    signal.throwIfAborted();
    if (outgoing.getHeader('trailer') !== undefined) outgoing.addTrailers(answer.trailers);
    outgoing.end();
  } catch (error) {
    answer.on('error', () => undefined).destroy();
    throw signal.aborted ? signal.reason : error;
  }
}

/** Resolves when the system has taken the bytes, so that their buffer is free again. */
async function written(outgoing: ServerResponse, piece: Buffer, signal: AbortSignal): Promise<void> {
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  const cut = (): void => reject(signal.reason);
  signal.addEventListener('abort', cut, { once: true });
  outgoing.write(piece, (error) => (error ? reject(error) : resolve()));
  await promise.finally(() => signal.removeEventListener('abort', cut));
}

function writeHead({ statusCode = 502, headers }: IncomingMessage, outgoing: ServerResponse, encrypted: boolean): void {
  outgoing.statusCode = statusCode >= 200 && statusCode < 600 ? statusCode : 502;
  for (const [name, value] of headersBack(headers, encrypted)) outgoing.setHeader(name, value);
  outgoing.flushHeaders();
}

function headersBack(given: IncomingHttpHeaders, encrypted: boolean): Headers {
  const headers = new Headers();
  for (const name of passedBack) if (typeof given[name] === 'string') headers.set(name, given[name]);
  const type = given['content-type'];
  if (type !== undefined) headers.set('content-type', harmless.test(type) ? type : 'application/octet-stream');
  headers.set('content-security-policy', sandbox);
  headers.set('cache-control', 'no-store');
  secureHeaders(headers, { encrypted });
  return headers;
}

/** Both ways until each has ended by itself, or one was cut, or the signal says so. */
export async function join(one: Duplex, other: Duplex, signal: AbortSignal): Promise<void> {
  const cut = (): void => [one, other].forEach((end) => end.destroy());
  const closed = Promise.all([one, other].map(async (end) => end.closed || once(end, 'close')));
  for (const [from, to] of [
    [one, other],
    [other, one],
  ] as const) {
    from.on('error', () => undefined).setMaxListeners(20); // told by `close`
    from.once('close', () => (from.readableEnded ? endAfterWriting(to) : to.destroy()));
    from.pipe(to);
  }
  signal.addEventListener('abort', cut, { once: true });
  if (signal.aborted) cut();
  await closed;
  signal.removeEventListener('abort', cut);
}

/** What its other side has sent last still goes out; nothing can be answered any more. */
function endAfterWriting(stream: Duplex): void {
  if (stream.writableFinished) stream.destroy();
  else stream.once('finish', () => stream.destroy());
}

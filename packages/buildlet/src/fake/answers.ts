/** What a fake machine says over HTTP: Go's texts, whole or as they come. */
import type { IncomingMessage, ServerResponse } from 'node:http';

export interface Asked {
  readonly request: IncomingMessage;
  readonly response: ServerResponse;
  readonly url: URL;
}

/** The first of them says that only they are taken. */
export function isMethod({ request, response }: Asked, ...methods: string[]): boolean {
  if (methods.includes(request.method ?? '')) return true;
  say(response, 400, `requires ${methods.join(' or ')} method\n`);
  return false;
}

export function say(response: ServerResponse, status: number, text: string): void {
  response.writeHead(status, { 'Content-Type': 'text/plain; charset=utf-8', 'Content-Length': Buffer.byteLength(text) }).end(text);
}

export async function bodyOf(request: IncomingMessage): Promise<Buffer> {
  return Buffer.concat(await Array.fromAsync(request as AsyncIterable<Buffer>));
}

export async function formOf(request: IncomingMessage): Promise<URLSearchParams> {
  return new URLSearchParams((await bodyOf(request)).toString());
}

/** Resolves when there is room, or the other side has gone. */
export async function write(response: ServerResponse, piece: Uint8Array | string): Promise<void> {
  if (response.write(piece) || response.destroyed) return;
  const { promise, resolve } = Promise.withResolvers<void>();
  response.once('drain', resolve).once('close', resolve);
  await promise;
  response.off('drain', resolve).off('close', resolve);
}

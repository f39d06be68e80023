/** An answer in Go's form: plain text and a line feed. */
import type { ServerResponse } from 'node:http';

export class TextAnswer extends Error {
  readonly status: number;

  constructor(status: number, text: string) {
    super(text);
    this.status = status;
  }
}

export function sendText(outgoing: ServerResponse, { status, message }: Pick<TextAnswer, 'status' | 'message'>): void {
  const body = Buffer.from(`${message}\n`);
  const type = { 'content-type': 'text/plain; charset=utf-8', 'x-content-type-options': 'nosniff' };
  outgoing.writeHead(status, { ...type, 'content-length': body.length });
  outgoing.end(body);
}

/** Stored bytes as an answer: one range of them, unchanged ones not again, HEAD without them. RFC 9110, 13 and 14. */
import { bodyOf, type Streaming } from '@croft/web/event-stream';
import { wantedRange } from './byte-range.ts';
import type { AppContext } from './context.ts';

export interface StoredBytes {
  /** What it is called where a range is behind its end. */
  readonly what: string;
  readonly length: number;
  /** Names content that never changes; undefined while it may grow. */
  readonly tag: string | undefined;
  readonly headers: Headers;
  read(range: { from: number; to: number }): AsyncIterable<Buffer>;
}

export function answerBytes(c: AppContext, { what, length, tag, headers, read }: StoredBytes, streaming: Streaming): Response {
  headers.set('accept-ranges', 'bytes');
  if (tag !== undefined) headers.set('etag', tag);
  if (tag !== undefined && matches(c.req.header('if-none-match'), tag)) return new Response(null, { status: 304, headers });
  const ifRange = c.req.header('if-range');
  const wanted = ifRange === undefined || ifRange === tag ? wantedRange(c.req.header('range'), length) : { kind: 'whole' as const };
  if (wanted.kind === 'none') {
    const message = `${what} has ${length} bytes${tag === undefined ? ' so far' : ''}; the range begins behind them`;
    return c.json({ code: 'invalid', message }, 416, { 'content-range': `bytes */${length}` });
  }
  const { from, to } = wanted.kind === 'part' ? wanted : { from: 0, to: length };
  headers.set('content-length', String(to - from));
  if (wanted.kind === 'part') headers.set('content-range', `bytes ${from}-${to - 1}/${tag === undefined ? '*' : length}`);
  const body = c.req.method === 'HEAD' || from === to ? null : bodyOf(() => read({ from, to }), streaming);
  return new Response(body, { status: wanted.kind === 'part' ? 206 : 200, headers });
}

function matches(header: string | undefined, tag: string): boolean {
  return header !== undefined && header.split(',').some((part) => part.trim().replace(/^W\//, '') === tag || part.trim() === '*');
}

/** Where Go's v2 client sends files before a machine gets them, and gets those that a machine gave: `/gomote/objects/` (gomote-ssh.md 6.4). */
import type { ServerResponse } from 'node:http';
import { pipeline } from 'node:stream/promises';
import { CroftError, errorText } from '@croft/runtime/errors';
import type { Log } from '@croft/runtime/log';
import type { RawHandler } from '@croft/web/listener';
import { httpStatus } from '@croft/protocol/status-codes';
import { boundaryOf, partsOf, wholeOf } from './multipart.ts';
import { sendText, TextAnswer } from './text-answer.ts';
import type { Invitation, Transfers } from './transfers.ts';
import { receive, type Visit, type VisitOptions } from './visit.ts';

export interface ObjectsDeps extends VisitOptions {
  readonly transfers: Transfers;
  readonly log: Log;
}

const place = '/gomote/objects/';
const maxFieldBytes = 1_024;
const maxFields = 20;

export interface UploadAddress {
  readonly url: string;
  readonly fields: Readonly<Record<string, string>>;
  readonly objectName: string;
}

/** Clients write `url` and the object's name one after the other when they tell what they have sent. */
export function uploadAddress(origin: string, { object, secret }: Invitation): UploadAddress {
  return { url: `${origin}${place}`, fields: { key: object, signature: secret }, objectName: object };
}

export function downloadAddress(origin: string, { object, secret }: Invitation): string {
  return `${origin}${place}${object}?signature=${secret}`;
}

/** Undefined for an address that is none of ours. */
export function objectAt(origin: string, url: string): string | undefined {
  const prefix = `${origin}${place}`;
  return url.startsWith(prefix) ? url.slice(prefix.length).replace(/\?.*$/, '') : undefined;
}

export function createObjects(deps: ObjectsDeps): RawHandler {
  return {
    takes: ({ url = '' }) => url.startsWith(place),
    takesLong: true,
    answer(incoming, outgoing, connection) {
      const serve = async (): Promise<void> => answer(receive(incoming, outgoing, connection, { ...deps, proves: () => true }), deps);
      void serve().catch((error: unknown) => turnAway(outgoing as ServerResponse, error, deps.log));
    },
  };
}

async function answer(visit: Visit, { transfers }: ObjectsDeps): Promise<void> {
  const { incoming, outgoing, request } = visit;
  const url = new URL(request.url);
  if (incoming.method === 'POST' && url.pathname === place) {
    await upload(visit, transfers);
    outgoing.statusCode = 204;
    return void outgoing.end();
  }
  if (incoming.method !== 'GET') throw new TextAnswer(405, 'GET, or POST of a form, is required');
  const object = url.pathname.slice(place.length);
  const stored = transfers.fetch({ object, secret: url.searchParams.get('signature') ?? '' });
  const headers = { 'content-type': 'application/octet-stream', 'content-length': stored.bytes, 'cache-control': 'no-store' };
  outgoing.writeHead(200, { ...headers, 'x-content-type-options': 'nosniff', 'content-disposition': 'attachment' });
  await pipeline(stored.content(), outgoing);
}

/** The fields come before the file. */
async function upload({ incoming, request }: Visit, transfers: Transfers): Promise<void> {
  const boundary = boundaryOf(request.headers.get('content-type') ?? '');
  const fields = new Map<string, string>();
  for await (const part of partsOf(incoming as AsyncIterable<Buffer>, boundary)) {
    if (part.name === 'file') {
      const invitation = { object: fields.get('key') ?? '', secret: fields.get('signature') ?? '' };
      return transfers.receive(invitation, part.body);
    }
    if (fields.size >= maxFields) throw new CroftError('invalid', 'the form has too many fields');
    fields.set(part.name, await wholeOf(part, maxFieldBytes));
  }
  throw new CroftError('invalid', 'the form has no part "file"');
}

function turnAway(outgoing: ServerResponse, error: unknown, log: Log): void {
  if (outgoing.headersSent || outgoing.destroyed) return void outgoing.destroy();
  if (error instanceof TextAnswer) return sendText(outgoing, error);
  if (error instanceof CroftError && error.code !== 'internal')
    return sendText(outgoing, { status: httpStatus(error.code), message: error.message });
  log.warn('file not transferred', { error: errorText(error) });
  sendText(outgoing, { status: 500, message: 'something is wrong inside the farm' });
}

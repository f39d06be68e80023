/** Request bodies of bounded size. */
import type { IncomingMessage } from 'node:http';
import { epochHeader, sourceHeader, sourceNameSchema } from '@croft/protocol/runs';
import { CroftError } from '@croft/runtime/errors';
import type * as z from 'zod';
import type { Call } from './router.ts';

const maxBodyBytes = 4 * 1024 * 1024;

/** @throws CroftError `invalid` when it is not JSON or not of this shape, `too-large` when it is longer than 4 MiB */
export async function readJson<Schema extends z.ZodType>(
  request: IncomingMessage,
  schema: Schema,
  what: string,
): Promise<z.output<Schema>> {
  let value: unknown;
  try {
    value = JSON.parse((await readBytes(request, maxBodyBytes)).toString('utf8'));
  } catch (error) {
    if (error instanceof CroftError) throw error;
    throw new CroftError('invalid', `${what}: the body is not JSON`, { cause: error });
  }
  const parsed = schema.safeParse(value);
  if (parsed.success) return parsed.data;
  const mistakes = parsed.error.issues.slice(0, 5).map((issue) => `${issue.path.join('.') || 'body'}: ${issue.message}`);
  throw new CroftError('invalid', `${what}: ${mistakes.join('; ')}`);
}

/** The values of a form field: of an urlencoded body first, then of the query. */
export async function formValues(
  { request, query }: Pick<Call, 'request' | 'query'>,
  name: string,
  maxBytes = maxBodyBytes,
): Promise<string[]> {
  const urlencoded = request.headers['content-type']?.startsWith('application/x-www-form-urlencoded');
  const fields = new URLSearchParams(urlencoded ? (await readBytes(request, maxBytes)).toString('utf8') : '');
  return [...fields.getAll(name), ...query.getAll(name)];
}

/** The sender's lease epoch; undefined when it gives none. @throws CroftError `invalid` */
export function requestEpoch(request: IncomingMessage): number | undefined {
  const header = request.headers[epochHeader];
  if (header === undefined) return undefined;
  const epoch = Number(header);
  if (typeof header !== 'string' || !/^\d{1,15}$/.test(header)) throw new CroftError('invalid', 'Croft-Epoch is not a lease epoch');
  return epoch;
}

/** The source that is sent or asked for; undefined when none is named. @throws CroftError `invalid` */
export function requestSource(request: IncomingMessage): string | undefined {
  const header = request.headers[sourceHeader];
  if (header === undefined) return undefined;
  const parsed = sourceNameSchema.safeParse(header);
  if (!parsed.success) throw new CroftError('invalid', `Croft-Source ${parsed.error.issues[0]?.message}`);
  return parsed.data;
}

/** A number in the query. @throws CroftError `invalid` */
export function queryNumber(query: URLSearchParams, name: string, absent = 0): number {
  const value = query.get(name) ?? String(absent);
  if (!/^\d{1,15}$/.test(value)) throw new CroftError('invalid', `"${name}" in the query is not a number`);
  return Number(value);
}

/** What came with the head is there a moment later, and read at once: as a stream it would take three turns. @throws CroftError `too-large` */
export async function readBytes(request: IncomingMessage, maxBytes: number): Promise<Buffer> {
  await Promise.resolve();
  if (!request.complete || request.readableLength > maxBytes) return collectBytes(request, maxBytes);
  return (request.read() as Buffer | null) ?? Buffer.alloc(0);
}

function collectBytes(request: IncomingMessage, maxBytes: number): Promise<Buffer> {
  const { promise, resolve, reject } = Promise.withResolvers<Buffer>();
  const parts: Buffer[] = [];
  let size = 0;
  const read = (part: Buffer): void => {
    size += part.length;
    if (size > maxBytes) fail(new CroftError('too-large', `the body is larger than ${maxBytes} bytes`));
    else parts.push(part);
  };
  const fail = (error: Error): void => {
    request.off('data', read).pause();
    reject(error);
  };
  request.on('data', read).on('error', fail);
  if (request.destroyed) fail(request.errored ?? new CroftError('cancelled', 'the client has gone away'));
  request.on('end', () => resolve(parts.length === 1 ? (parts[0] as Buffer) : Buffer.concat(parts)));
  return promise;
}

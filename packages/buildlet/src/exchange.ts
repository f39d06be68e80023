/**
 * One request to a buildlet and its answer, over kept-alive connections. A buildlet is not trusted: answers are capped, and
 * whatever goes wrong comes out as a `CroftError` that tells the machine's address and never its password.
 */
import type { ClientRequest, IncomingMessage, RequestOptions } from 'node:http';
import { epochHeader, errorBodySchema, sourceHeader } from '@croft/protocol/runs';
import { codeOfStatus } from '@croft/protocol/status-codes';
import { anySignal, SECOND, type Clock, type Waits } from '@croft/runtime/clock';
import { CroftError, asCroftError, errorText, systemCode } from '@croft/runtime/errors';
import { request as httpRequest } from '@croft/runtime/node-http';
import { gather, pour } from '@croft/streams/gather';
import { NotTaken, type Take } from '@croft/streams/pour';
import { dropRead } from '@croft/streams/release';
import { authorization, hostHeader, pathAt, shownAddress, type BuildletAddress } from './address.ts';
import { connectionPool } from './connection-pool.ts';
import { askForLong, type LongAnswer } from './long-answer.ts';
import { send, sendFeed, type Feed } from './upload.ts';

const maxErrorBytes = 64 * 1024;
/** Of what a buildlet says about a failure; it may end up in a build's evidence. */
const saidChars = 4_000;
/** For what is left to write of a request that was answered before all of it had been sent. */
const restMs = 5 * SECOND;

export interface Question {
  /** For messages: `start run X`. */
  readonly doing: string;
  readonly method: string;
  /** With the query; every part of it already encoded. */
  readonly path: string;
  readonly epoch?: number | undefined;
  readonly source?: string | undefined;
  readonly headers?: Readonly<Record<string, string>> | undefined;
  readonly body?: { readonly type: string; readonly content: string | AsyncIterable<Uint8Array> | Feed } | undefined;
  /** Until the head of the answer has come and, with `readAll`, its body, ms. Absent: the caller's signal alone ends it. */
  readonly deadlineMs?: number | undefined;
}

export interface Reply {
  readonly status: number;
  readonly text: string;
}

export interface Exchange extends Disposable {
  /** The head of the answer, whatever its status; the signal ends its body as well. The caller reads or destroys it. */
  open(question: Question, waits: Waits): Promise<IncomingMessage>;
  /** The whole answer whatever its status, at most `maxBytes` long. @throws CroftError `unavailable`, `timeout`, `exhausted` */
  ask(question: Question, maxBytes: number, waits: Waits): Promise<Reply>;
  /**
   * The body of a successful answer as it comes, back-pressured; throws `unavailable` when it is cut. Each piece is good only until
   * the next one is asked for.
   */
  stream(question: Question, waits: Waits): AsyncGenerator<Buffer>;
  /** The same, given to `take`. @see pour */
  pour(question: Question, take: Take, waits: Waits): Promise<void>;
}

/** @param extra headers of every request */
export function createExchange(address: BuildletAddress, clock: Clock, extra: Readonly<Record<string, string>> = {}): Exchange {
  const pool = connectionPool(address, clock);
  const standing: Record<string, string> = { Host: hostHeader(address), ...authorization(address), ...extra };

  const open = (question: Question, signal: AbortSignal): Promise<IncomingMessage> => {
    const headers = { ...standing, ...headersOf(question) };
    return ask(question, { agent: pool.agent, method: question.method, path: pathAt(address, question.path), headers, signal }, clock);
  };
  // Where it takes trips until a connection stands, those that are kept are used.
  const begunAnswer = async (question: Question, signal: AbortSignal): Promise<LongAnswer> => {
    if (address.dial || address.tls) return keptAnswer(await open(question, signal));
    const { method, path } = question;
    return askForLong(address, { method, path, headers: { ...standing, ...headersOf(question) } }, { signal });
  };
  const longAnswer = async (question: Question, signal: AbortSignal): Promise<LongAnswer> =>
    successful(await begunAnswer(question, signal), question.doing);

  const attempt = async <T>(question: Question, signal: AbortSignal, act: () => Promise<T>): Promise<T> => {
    try {
      return await act();
    } catch (error) {
      throw error instanceof NotTaken ? error : failure(error, { address, question, signal });
    }
  };

  return {
    async open(question, waits) {
      const signal = limited(question, clock, waits);
      return attempt(question, signal, () => open(question, signal));
    },
    async ask(question, maxBytes, waits) {
      const signal = limited(question, clock, waits);
      return attempt(question, signal, async () => {
        const response = await open(question, signal);
        return { status: response.statusCode ?? 0, text: await readCapped(response, maxBytes, question.doing) };
      });
    },
    async *stream(question, { signal: given }) {
      const signal = anySignal(given);
      await using answer = await attempt(question, signal, () => longAnswer(question, signal));
      try {
        yield* answer.body();
      } catch (error) {
        throw failure(error, { address, question, signal });
      }
    },
    async pour(question, take, { signal: given }) {
      const signal = anySignal(given);
      await attempt(question, signal, async () => {
        await using answer = await longAnswer(question, signal);
        await answer.pour(take);
      });
    },
    [Symbol.dispose]: () => pool[Symbol.dispose](),
  };
}

async function ask(question: Question, options: RequestOptions, clock: Clock): Promise<IncomingMessage> {
  for (;;) {
    const request = httpRequest(options);
    try {
      return await answerTo(request, question, clock);
    } catch (error) {
      if (options.signal?.aborted || !diedIdle(request, question, error)) throw error;
    }
  }
}

async function successful(answer: LongAnswer, doing: string): Promise<LongAnswer> {
  if (answer.status === 200) return answer;
  await using refusal = answer;
  throw refused(doing, { status: refusal.status, text: await readCapped(refusal.body(), maxErrorBytes, doing) });
}

function keptAnswer(response: IncomingMessage): LongAnswer {
  const { headers, statusCode = 0 } = response;
  const framed = (): IncomingMessage => {
    if (headers['transfer-encoding'] !== undefined || headers['content-length'] !== undefined) return response;
    throw new CroftError('unavailable', 'the answer of the buildlet does not tell where it ends');
  };
  const gathering = { free: dropRead }; // the parser copies each piece
  return {
    status: statusCode,
    body: () => gather(framed(), gathering),
    pour: async (take) => pour(framed(), take, gathering),
    [Symbol.asyncDispose]: async () => void response.on('error', () => undefined).destroy(),
  };
}

interface Failed {
  readonly address: BuildletAddress;
  readonly question: Question;
  readonly signal: AbortSignal;
}

function failure(error: unknown, { address, question: { doing }, signal }: Failed): CroftError {
  if (signal.aborted) return asCroftError(signal.reason, 'cancelled', `${doing} on the buildlet at ${shownAddress(address)}`);
  if (error instanceof CroftError) return error;
  return new CroftError('unavailable', `${doing}: the buildlet at ${shownAddress(address)} cannot be reached: ${errorText(error)}`, {
    cause: error,
  });
}

/** The failure that an answer with an unsuccessful status tells. */
export function refused(doing: string, { status, text }: Reply): CroftError {
  const body = errorBodySchema.safeParse(parseJson(text));
  if (!body.success) return new CroftError(codeOfStatus(status), `${doing}: the buildlet answered ${status} ${text.trim().slice(0, 500)}`);
  const { code, message, hint, epoch } = body.data;
  return new CroftError(code, `${doing}: ${message.slice(0, saidChars)}`, {
    hint: hint?.slice(0, saidChars),
    fields: epoch === undefined ? { status } : { status, epoch },
  });
}

export function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

async function answerTo(request: ClientRequest, { body }: Question, clock: Clock): Promise<IncomingMessage> {
  const answered = answerOf(request);
  if (!body || typeof body.content === 'string') request.end(body?.content);
  else if ('listen' in body.content) sendFeed(body.content, request, answered);
  else await send(body.content, request, answered);
  const response = await answered;
  // An upload that was answered early is not sent on; of one that was sent, or is soon, the connection is kept.
  response.once('close', () => {
    if (!request.writableEnded) request.destroy();
    else if (!request.writableFinished) clock.deadline(restMs).addEventListener('abort', () => request.destroy());
  });
  return response;
}

/**
 * A connection that was kept had been ended by the other side when it was taken: the next one is tried, at last a fresh one. Only what
 * may be done twice is asked again.
 */
function diedIdle(request: ClientRequest, { method, body }: Question, error: unknown): boolean {
  const isRepeatable = method !== 'POST' && (body === undefined || typeof body.content === 'string');
  return isRepeatable && request.reusedSocket && ['ECONNRESET', 'EPIPE'].includes(systemCode(error) ?? '');
}

function headersOf({ epoch, source, headers: given, body }: Question): Record<string, string> {
  const headers: Record<string, string> = {};
  if (epoch !== undefined) headers[epochHeader] = String(epoch);
  if (source !== undefined) headers[sourceHeader] = source;
  Object.assign(headers, given);
  if (body) headers['Content-Type'] = body.type;
  if (typeof body?.content === 'string') headers['Content-Length'] = String(Buffer.byteLength(body.content));
  return headers;
}

function limited({ deadlineMs }: Question, clock: Clock, { signal }: Waits): AbortSignal {
  if (deadlineMs === undefined && signal) return signal; // joining takes longer than it looks
  return anySignal(signal, deadlineMs === undefined ? undefined : clock.deadline(deadlineMs));
}

/**
 * Settles however the request ends: a connection that closes without an answer, or is taken over by the other side, is a failure.
 * The listener for errors stays, since an upload may break after it was answered.
 */
function answerOf(request: ClientRequest): Promise<IncomingMessage> {
  const { promise, resolve, reject } = Promise.withResolvers<IncomingMessage>();
  const closed = (): void => reject(new Error('the connection was closed without an answer'));
  request.once('response', (response) => {
    request.off('close', closed);
    resolve(response);
  });
  request.on('error', reject).once('close', closed);
  request.once('upgrade', (_, socket) => {
    socket.destroy();
    closed();
  });
  promise.catch(() => undefined); // while an upload is under way nobody waits for it
  return promise;
}

export async function readCapped(body: AsyncIterable<Buffer>, maxBytes: number, doing: string): Promise<string> {
  const parts: Buffer[] = [];
  let size = 0;
  for await (const part of body) {
    size += part.length;
    if (size > maxBytes) throw new CroftError('exhausted', `${doing}: the buildlet's answer is longer than ${maxBytes} bytes`);
    parts.push(Buffer.from(part)); // its buffer may be used again
  }
  return Buffer.concat(parts).toString('utf8');
}

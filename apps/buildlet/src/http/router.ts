/**
 * From a request to an answer: guard, password, route, handler. Every failure ends its request and nothing else.
 */
import type { IncomingMessage, RequestListener, ServerResponse } from 'node:http';
import { epochHeader } from '@croft/protocol/runs';
import { CroftError } from '@croft/runtime/errors';
import type { Log } from '@croft/runtime/log';
import { messages } from '../events.ts';
import { failureAnswer, sendAnswer, textError, type Answer } from './answer.ts';
import { behindGate } from './gate.ts';
import { foreignOrigin, hasPassword } from './guard.ts';

/** What is read of a refused request before its connection is closed: long enough for its sender to see the answer. */
const maxUnreadBytes = 64 * 1024 * 1024;

export interface Call {
  readonly request: IncomingMessage;
  readonly method: string;
  readonly path: string;
  /** What is behind the question mark, as it came and as it is read. */
  readonly search: string;
  readonly query: URLSearchParams;
  /** Aborted when the client goes away. */
  readonly signal: AbortSignal;
}

export interface Route {
  /** How failures look to a sender that knows no epochs; others always get JSON. */
  readonly style: 'text' | 'json';
  /** Served to anybody, such as a health check. */
  readonly open?: boolean;
  /** Also served by a buildlet that is about to end; what only reads always is. */
  readonly whileEnding?: boolean;
  handle(call: Call): Promise<Answer>;
}

export interface RouterOptions {
  /** Undefined serves everybody: only with `--insecure-listen`, or over connections to our own coordinator. */
  readonly password: string | undefined;
  /** Every connection is one that we dialled: no web page can be at its other end, and its `Host` is whatever we are called there. */
  readonly dialled: boolean;
  readonly find: (path: string) => Route | undefined;
  /** Called for each request, whoever sends it; refuses it by throwing. */
  readonly onRequest: () => void;
  /** Called for each authenticated request. */
  readonly onContact: () => void;
  /** Called for each authenticated request that may start work; refuses it by throwing. @returns what is called when its answer was sent */
  readonly onWork: () => () => void;
  readonly log: Log;
}

export function createRouter(options: RouterOptions): RequestListener {
  return (request, response) => {
    const gone = new AbortController();
    response.on('close', () => response.writableFinished || gone.abort(new CroftError('cancelled', 'the client has gone away')));
    request.on('error', () => {}); // a cut upload: its reader is told
    response.on('error', () => {});
    void serve(request, response, gone.signal, options);
  };
}

async function serve(request: IncomingMessage, response: ServerResponse, signal: AbortSignal, options: RouterOptions): Promise<void> {
  const call = callOf(request, signal);
  const { path } = call;
  const route = options.find(path);
  const work: { end?: () => void } = {};
  let answer: Answer;
  try {
    answer = await answerCall(call, route, options, work);
  } catch (error) {
    if (!(error instanceof CroftError)) options.log.error(messages.requestFailed, { method: call.method, path, error: String(error) });
    answer = failureAnswer(error, request.headers[epochHeader] === undefined ? (route?.style ?? 'text') : 'json');
  }
  if (!request.complete) discardRest(request);
  if (behindGate(request.socket)) response.setHeader('Connection', 'close'); // it lets one head through
  await sendAnswer(answer, response, { signal }).finally(work.end);
}

function callOf(request: IncomingMessage, signal: AbortSignal): Call {
  const { method = '', url = '' } = request;
  const pathEnd = url.includes('?') ? url.indexOf('?') : url.length;
  const search = url.slice(pathEnd + 1);
  return { request, method, path: url.slice(0, pathEnd), search, query: new URLSearchParams(search), signal };
}

async function answerCall(
  call: Call,
  route: Route | undefined,
  { password, dialled, onRequest, onContact, onWork }: RouterOptions,
  work: { end?: () => void },
): Promise<Answer> {
  const foreign = dialled ? undefined : foreignOrigin(call.request);
  if (foreign) return textError(403, foreign);
  onRequest();
  if (!route) return textError(404, '404 page not found');
  if (!route.open) {
    if (password !== undefined && !hasPassword(call.request, password)) return textError(403, 'invalid password');
    onContact();
    if (call.method !== 'GET' && !route.whileEnding) work.end = onWork();
  }
  return route.handle(call);
}

/** Closing at once would take the answer away from a sender that is still writing. */
function discardRest(request: IncomingMessage): void {
  let read = 0;
  request.on('data', (chunk: Buffer) => {
    read += chunk.length;
    if (read > maxUnreadBytes) request.destroy();
  });
  request.resume();
}

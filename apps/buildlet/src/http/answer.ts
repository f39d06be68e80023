/** What a handler answers, and how failures look: text on Go's endpoints, JSON on ours. buildlet.md 1.1. */
import type { ServerResponse } from 'node:http';
import type { Duplex } from 'node:stream';
import type { ErrorBody } from '@croft/protocol/runs';
import { httpStatus } from '@croft/protocol/status-codes';
import { CroftError, errorText } from '@croft/runtime/errors';
import { pourAll, type Take } from '@croft/streams/pour';
import { behindGate } from './gate.ts';

export type Answer =
  | { readonly kind: 'whole'; readonly status: number; readonly type: string; readonly body: string }
  | {
      readonly kind: 'stream';
      /** Plain bytes when absent. */
      readonly type?: string;
      /** Known length; without one the end of the body says that it is complete. */
      readonly length?: number;
      /** Called when the head is sent. If it throws, the body is cut. The next piece is asked for when one was written. */
      readonly pieces: () => AsyncIterable<Buffer>;
    }
  | {
      readonly kind: 'live';
      /** As `pieces`, of what comes now and then and in little: plain bytes of unknown length. */
      readonly pour: (take: Take) => Promise<void>;
    }
  | {
      /** The connection is whoever's `serve` is from here on: it resolves when that is closed. */
      readonly kind: 'takeover';
      readonly head: string;
      readonly serve: (socket: Duplex) => Promise<void>;
      /** Called in its place when the client has gone away. */
      readonly abandon: () => void;
    }
  | {
      readonly kind: 'own';
      /** Writes all of it, the head included; resolves when nothing of it goes on. If it throws, the connection is cut. */
      readonly send: (response: ServerResponse, waits: { signal: AbortSignal }) => Promise<void>;
    };

const plain = 'text/plain; charset=utf-8';
const plainBytes = 'application/octet-stream';
/** A key or a line. */
const littleBytes = 1024;

export function text(body: string, status = 200): Answer {
  return { kind: 'whole', status, type: plain, body };
}

export function json(value: unknown, status = 200): Answer {
  return { kind: 'whole', status, type: 'application/json; charset=utf-8', body: JSON.stringify(value) };
}

export const noContent: Answer = { kind: 'whole', status: 204, type: '', body: '' };

/** An outcome that is not a success, on our own endpoints. */
export function refusal(status: number, body: ErrorBody): Answer {
  return json(body, status);
}

/** Go's plain error reply. */
export function textError(status: number, message: string): Answer {
  return text(`${message}\n`, status);
}

/** A failure as JSON, or as text with Go's status for it. */
export function failureAnswer(error: unknown, style: 'text' | 'json'): Answer {
  const failure = error instanceof CroftError ? error : new CroftError('internal', errorText(error), { cause: error });
  const { code, hint } = failure;
  if (style === 'text') return textError(['invalid', 'forbidden', 'too-large'].includes(code) ? httpStatus(code) : 500, errorText(failure));
  const epoch = code === 'stale' && typeof failure.fields['epoch'] === 'number' ? { epoch: failure.fields['epoch'] } : {};
  return refusal(httpStatus(code), { code, message: errorText(failure), ...(hint === undefined ? {} : { hint }), ...epoch });
}

/** Sends it; a stream waits for the reader. Resolves when everything was handed to the system or the connection is gone. */
export async function sendAnswer(answer: Answer, response: ServerResponse, { signal }: { signal: AbortSignal }): Promise<void> {
  if (answer.kind === 'takeover') return giveAway(response, answer);
  if (answer.kind === 'own') {
    await answer.send(response, { signal }).catch(() => response.destroy());
    return;
  }
  response.setHeader('X-Content-Type-Options', 'nosniff');
  if (answer.kind === 'whole') {
    const { status, type, body } = answer;
    response.writeHead(status, status === 204 ? {} : { 'Content-Type': type, 'Content-Length': Buffer.byteLength(body) });
    response.end(status === 204 ? undefined : body);
    return;
  }
  const { type = plainBytes, length } = answer.kind === 'live' ? {} : answer;
  response.writeHead(200, { 'Content-Type': type, ...(length === undefined ? {} : { 'Content-Length': length }) });
  response.flushHeaders();
  const give = (piece: Buffer): Promise<void> | undefined => {
    if (piece.length > littleBytes || response.writableNeedDrain) return written(response, piece, signal);
    response.write(Buffer.from(piece)); // need not be waited for
    return undefined;
  };
  try {
    await (answer.kind === 'live' ? answer.pour(give) : pourAll(answer.pieces(), give));
    response.end();
  } catch {
    response.destroy(); // cut: a short body must never look complete
  }
}

/** Resolves when the system has taken the bytes, so that their buffer is free again. */
export function written(response: ServerResponse, piece: Buffer, signal: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    const onAbort = (): void => reject(signal.reason);
    signal.addEventListener('abort', onAbort, { once: true });
    response.write(piece, (error) => {
      signal.removeEventListener('abort', onAbort);
      if (error) reject(error);
      else resolve();
    });
  });
}

async function giveAway(response: ServerResponse, { head, serve, abandon }: Extract<Answer, { kind: 'takeover' }>): Promise<void> {
  let socket: Duplex | undefined;
  try {
    socket = behindGate(response.req.socket)?.takeOver();
  } catch {
    // The client has gone away.
  }
  if (!socket) {
    abandon();
    response.destroy();
    return;
  }
  socket.on('error', () => {}).write(head);
  await serve(socket).catch(() => {});
  socket.destroy();
}

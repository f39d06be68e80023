/**
 * Answers that go on: server-sent events and long bodies. Nothing is read ahead of the reader. When the server stops, an event
 * stream ends cleanly, since its reader comes back with `Last-Event-ID`; a body is cut, since short must not look complete.
 */
import { SECOND, anySignal, type Clock, type Waits } from '@croft/runtime/clock';
import { CroftError, errorText } from '@croft/runtime/errors';
import type { Log } from '@croft/runtime/log';
import type { Connection } from './connection.ts';

export interface ServerEvent {
  readonly event: string;
  /** Sent as JSON. */
  readonly data: unknown;
  readonly id?: string;
}

export interface Streaming {
  readonly request: Request;
  readonly connection: Connection;
  readonly clock: Clock;
  readonly log: Log;
}

/** Proxies and browsers give up on a silent connection; a comment now and then keeps it. */
const heartbeatMs = 15 * SECOND;

export function eventStream(open: (waits: Waits) => AsyncIterable<ServerEvent>, { request, connection, clock, log }: Streaming): Response {
  const gone = new AbortController();
  const signal = anySignal(gone.signal, request.signal, connection.stopping);
  const events = open({ signal })[Symbol.asyncIterator]();
  let next: Promise<IteratorResult<ServerEvent>> | undefined;
  const body = new ReadableStream<Uint8Array>({
    start: (controller) => controller.enqueue(encode('retry: 1000\n\n')),
    async pull(controller) {
      const waited = new AbortController();
      try {
        next ??= events.next();
        const result = await Promise.race([next, clock.sleep(heartbeatMs, { signal: waited.signal })]);
        if (!result) return controller.enqueue(encode(': still here\n\n'));
        next = undefined;
        if (result.done) controller.close();
        else controller.enqueue(encode(format(result.value)));
      } catch (error) {
        if (!signal.aborted) log.warn('event stream failed', { path: new URL(request.url).pathname, error: errorText(error) });
        if (!gone.signal.aborted) controller.close();
      } finally {
        waited.abort();
      }
    },
    cancel: () => gone.abort(new CroftError('cancelled', 'the reader is gone')),
  });
  return new Response(body, { headers: { 'content-type': 'text/event-stream', 'cache-control': 'no-store', 'x-accel-buffering': 'no' } });
}

/** A long body. Whatever breaks off its source cuts the connection. */
export function bodyOf(
  open: (waits: Waits) => AsyncIterable<Uint8Array>,
  { request, connection, log }: Streaming,
): ReadableStream<Uint8Array> {
  const gone = new AbortController();
  const signal = anySignal(gone.signal, request.signal, connection.stopping);
  const chunks = open({ signal })[Symbol.asyncIterator]();
  return new ReadableStream<Uint8Array>(
    {
      async pull(controller) {
        try {
          const { done, value } = await chunks.next();
          if (done) controller.close();
          else controller.enqueue(value);
        } catch (error) {
          if (!signal.aborted) log.warn('body broken off', { path: new URL(request.url).pathname, error: errorText(error) });
          connection.cut();
          // The cut cancels this stream; an error here would only be reported a second time.
          await new Promise<never>(() => {});
        }
      },
      async cancel() {
        gone.abort(new CroftError('cancelled', 'the reader is gone'));
        await chunks.return?.();
      },
    },
    { highWaterMark: 0 },
  );
}

function format({ event, data, id }: ServerEvent): string {
  return `event: ${event}\n${id === undefined ? '' : `id: ${id}\n`}data: ${JSON.stringify(data)}\n\n`;
}

function encode(text: string): Uint8Array {
  return Buffer.from(text);
}

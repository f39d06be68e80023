/**
 * Speaks to a coordinator: operations by name with answers checked against their schemas, and logs that survive cut lines. The
 * token goes nowhere but to this server, and never in the clear past this machine.
 */
import {
  logChunkSchema,
  operations,
  pathOf,
  type AnswerOf,
  type BodyInputOf,
  type JsonOperationName,
  type Operation,
} from '@croft/protocol/operations';
import { sessionViewSchema, type SessionView } from '@croft/protocol/sessions';
import { MINUTE, SECOND, anySignal, type Clock, type Waits } from '@croft/runtime/clock';
import { CroftError, asCroftError, isCode } from '@croft/runtime/errors';
import { backoffMs, type Random } from '@croft/runtime/random';
import { json } from 'node:stream/consumers';
import { createAsk, type Ask } from './ask.ts';
import { parseInput, type Schema } from './body.ts';
import { readEvents, type ReadEvent } from './event-reader.ts';
import { isLoopbackHost } from './safe-address.ts';

export interface ClientOptions {
  /** `https://farm.example`, without a path. */
  readonly server: string;
  readonly token?: string | undefined;
  readonly clock: Clock;
  readonly random: Random;
  /** Called when the line was cut and is tried again. */
  readonly onRetry?: ((error: CroftError) => void) | undefined;
}

export interface CallOptions<Name extends JsonOperationName> extends Waits {
  readonly params?: Readonly<Record<string, string>>;
  readonly query?: Readonly<Record<string, string | number | undefined>>;
  readonly body?: BodyInputOf<Name>;
  readonly timeoutMs?: number;
}

export interface LogPlace {
  readonly build: string;
  readonly attempt: number;
  /** First byte wanted. */
  readonly from: number;
}

export interface ArtifactPlace {
  readonly build: string;
  readonly attempt: number;
  readonly artifact: string;
  readonly path: string;
}

export interface Client {
  readonly server: string;
  /** @throws CroftError with the server's code, `unavailable` when it cannot be reached, `timeout` */
  call<Name extends JsonOperationName>(name: Name, options?: CallOptions<Name>): Promise<AnswerOf<Name>>;
  /** What is there now. Goes on where a cut line left off. */
  readLog(place: LogPlace, waits?: Waits): AsyncGenerator<Uint8Array>;
  /** One file that an attempt left behind, whole: goes on where a cut line left off. */
  readArtifact(place: ArtifactPlace, waits?: Waits): AsyncGenerator<Uint8Array>;
  /** Until the log is complete, over any number of cut lines and restarts. */
  followLog(place: LogPlace, waits?: Waits): AsyncGenerator<Uint8Array>;
  /** Each change of a session until it is active or has ended, over any number of cut lines and restarts. */
  followSession(session: string, waits?: Waits): AsyncGenerator<SessionView>;
}

const callMs = MINUTE;
/** The server sends something at least every 15 s. */
const silenceMs = 45 * SECOND;
/** How long a server may stay away while something is followed. */
const patienceMs = 10 * MINUTE;

/** @throws CroftError `invalid` for an address that cannot be used */
export function createClient(options: ClientOptions): Client {
  const base = checkServer(options);
  const ask = createAsk(base, options.token);
  return {
    server: base.origin,
    async call(name, { params = {}, query = {}, body, signal, timeoutMs = callMs } = {}) {
      const operation: Operation = operations[name];
      const given = Object.entries(query).filter(([, value]) => value !== undefined) as [string, string | number][];
      const search = new URLSearchParams(given.map(([key, value]) => [key, String(value)])).toString();
      const response = await ask(`${pathOf(name, params)}${search && `?${search}`}`, {
        method: operation.method,
        signal: anySignal(signal, options.clock.deadline(timeoutMs)),
        ...(body === undefined ? {} : { body: JSON.stringify(body), headers: { 'content-type': 'application/json' } }),
      });
      return understand(operation.answer as Schema<AnswerOf<typeof name>>, await json(response).catch(() => undefined), name);
    },
    readLog: (place, waits = {}) => resumed(options, waits, place.from, (from) => readOnce(ask, { ...place, from }, waits)),
    readArtifact: ({ attempt, ...place }, waits = {}) =>
      resumed(options, waits, 0, (from) =>
        readFrom(ask, { path: pathOf('artifact.get', { ...place, attempt: String(attempt) }), from }, waits),
      ),
    followLog: (place, waits = {}) =>
      resumed(options, waits, place.from, (from) => followOnce(ask, { ...place, from }, waits, options.clock)),
    followSession: (session, waits = {}) => resumed(options, waits, 0, () => sessionEvents(ask, session, waits, options.clock)),
  };
}

function checkServer({ server, token }: ClientOptions): URL {
  const url = URL.parse(server);
  if (!url || !/^https?:$/.test(url.protocol)) {
    throw new CroftError('invalid', `"${server}" is not the address of a farm`, {
      hint: 'Write it like https://farm.example or http://127.0.0.1:8119.',
    });
  }
  if (token !== undefined && url.protocol === 'http:' && !isLoopbackHost(url.hostname)) {
    throw new CroftError('invalid', `a token is not sent to ${url.origin}, where anybody on the way could read it`, { hint: 'Use https.' });
  }
  return url;
}

function understand<T>(schema: Schema<T>, value: unknown, name: string): T {
  try {
    return parseInput(schema, value, `the farm's answer to ${name}`);
  } catch (error) {
    throw new CroftError('internal', 'not understood', { cause: error, hint: 'Are the farm and this program of the same version?' });
  }
}

/** Repeats `once` from where it broke off until it ends by itself. */
async function* resumed<Piece extends { readonly length: number } | SessionView>(
  { clock, random, onRetry }: ClientOptions,
  { signal }: Waits,
  start: number,
  once: (from: number) => AsyncGenerator<Piece>,
): AsyncGenerator<Piece> {
  let from = start;
  let heardAt = clock.monotonic();
  for (let tries = 0; ; tries += 1) {
    try {
      for await (const bytes of once(from)) {
        if ('length' in bytes) from += bytes.length;
        tries = 0;
        yield bytes;
        heardAt = clock.monotonic();
      }
      return;
    } catch (error) {
      signal?.throwIfAborted();
      const failure = asCroftError(error, 'unavailable', 'reading from the farm');
      const passing = isCode(failure, 'unavailable') || isCode(failure, 'timeout') || isCode(failure, 'stopped');
      if (!passing || clock.monotonic() - heardAt > patienceMs) throw failure;
      onRetry?.(failure);
    }
    await clock.sleep(backoffMs(tries, random), { signal });
  }
}

function readOnce(ask: Ask, { build, attempt, from }: LogPlace, waits: Waits): AsyncGenerator<Uint8Array> {
  const path = attempt === 0 ? pathOf('log.last', { build }) : pathOf('log.attempt', { build, attempt: String(attempt) });
  return readFrom(ask, { path, from }, waits);
}

async function* readFrom(ask: Ask, { path, from }: { path: string; from: number }, { signal }: Waits): AsyncGenerator<Uint8Array> {
  try {
    const headers = { accept: '*/*', ...(from > 0 ? { range: `bytes=${from}-` } : {}) };
    yield* (await ask(path, { signal, headers })) as AsyncIterable<Uint8Array>;
  } catch (error) {
    // Nothing behind this offset (yet).
    if (error instanceof CroftError && error.fields['status'] === 416) return;
    throw error;
  }
}

async function* followOnce(ask: Ask, { build, attempt, from }: LogPlace, waits: Waits, clock: Clock): AsyncGenerator<Uint8Array> {
  const path = `${pathOf('log.follow', { build, attempt: String(attempt) })}?from=${from}`;
  for await (const { event, data } of eventsOf(ask, path, waits, clock)) {
    if (event === 'end') return;
    if (event === 'chunk') yield Buffer.from(understand(logChunkSchema, JSON.parse(data), 'log.follow').b64, 'base64');
  }
}

async function* sessionEvents(ask: Ask, session: string, waits: Waits, clock: Clock): AsyncGenerator<SessionView> {
  for await (const { event, data } of eventsOf(ask, pathOf('session.follow', { session }), waits, clock)) {
    if (event !== 'session') continue;
    const view = understand(sessionViewSchema, JSON.parse(data), 'session.follow');
    yield view;
    if (view.state === 'active' || view.state === 'ended') return;
  }
}

/** @throws CroftError `unavailable` when they end by themselves */
async function* eventsOf(ask: Ask, path: string, { signal }: Waits, clock: Clock): AsyncGenerator<ReadEvent> {
  const response = await ask(path, { signal, headers: { accept: 'text/event-stream' } });
  const events = readEvents(response);
  try {
    for (;;) {
      const { done, value } = await heard(events.next(), clock);
      if (done) throw new CroftError('unavailable', 'what was followed broke off');
      yield value;
    }
  } finally {
    response.destroy(); // a signal would reach the socket, too, on which nobody listens once the server has ended the answer
  }
}

/** @throws CroftError `timeout` when nothing comes for too long */
async function heard<T>(next: Promise<T>, clock: Clock): Promise<T> {
  const done = new AbortController();
  const silence = clock.sleep(silenceMs, { signal: done.signal }).then((): never => {
    throw new CroftError('timeout', 'nothing was heard from the farm for 45 s');
  });
  try {
    return await Promise.race([next, silence]);
  } finally {
    done.abort();
  }
}

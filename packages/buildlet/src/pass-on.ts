/**
 * Somebody's request passed on to a machine as it came, for a coordinator that stands between. Each has a connection of its own, so
 * that it can be cut without the others.
 */
import type { IncomingMessage } from 'node:http';
import type { Duplex } from 'node:stream';
import { anySignal, SECOND, type Clock } from '@croft/runtime/clock';
import { asCroftError, CroftError } from '@croft/runtime/errors';
import { shownAddress, type BuildletAddress } from './address.ts';
import { createExchange, refused } from './exchange.ts';
import { setAlarm } from './go/alarm.ts';
import { forwardQuestion, type ForwardedRequest } from './go/questions.ts';
import { takeOver } from './take-over.ts';

export type { ForwardedRequest } from './go/questions.ts';

export interface Passing {
  readonly clock: Clock;
  /** Ends the request, also the body of its answer. */
  readonly signal: AbortSignal;
  /** How long the machine may take to begin its answer, once it has the whole request, ms. */
  readonly headMs: number;
}

/** The head of the machine's answer; whoever gets it reads or destroys it. @throws CroftError `unavailable`, `timeout`, or the signal's reason */
export async function passOn(
  address: BuildletAddress,
  request: ForwardedRequest,
  { clock, signal, headMs }: Passing,
): Promise<IncomingMessage> {
  const exchange = createExchange(address, clock);
  const silent = new AbortController();
  const late = `${request.method} ${request.path}: the machine ${shownAddress(address)} has not begun to answer after ${headMs / SECOND} s`;
  using watch = alarmOnce(clock, headMs, () => silent.abort(new CroftError('timeout', late)));
  const { body } = request;
  if (body === undefined || typeof body === 'string') watch.begin();
  const question = forwardQuestion(typeof body === 'object' ? { ...request, body: thenDo(body, watch.begin) } : request);
  try {
    const answer = await exchange.open(question, { signal: anySignal(signal, silent.signal) });
    answer.once('close', () => exchange[Symbol.dispose]());
    return answer;
  } catch (error) {
    exchange[Symbol.dispose]();
    throw error;
  }
}

/** A raw connection to a machine, which ends with the signal only while it is made; what the machine says early comes first. @throws CroftError the refusal */
export async function passRaw(
  address: BuildletAddress,
  { method, path, headers }: Omit<ForwardedRequest, 'body'>,
  { clock, signal, headMs }: Passing,
): Promise<Duplex> {
  const doing = `${method} ${path}`;
  const ask = { method, path, headers, refused: (answer: { status: number; text: string }) => refused(doing, answer) };
  try {
    return await takeOver(address, ask, anySignal(signal, clock.deadline(headMs)));
  } catch (error) {
    throw asCroftError(error, 'unavailable', `${doing} on the machine ${shownAddress(address)}`);
  }
}

/** Once it was disposed of, nothing begins any more: an answer may come before the end of the body was noticed. */
function alarmOnce(clock: Clock, ms: number, ring: () => void): Disposable & { begin(): void } {
  let alarm: Disposable | undefined;
  let isOver = false;
  return {
    begin() {
      if (!isOver) alarm ??= setAlarm(clock, ms, ring);
    },
    [Symbol.dispose]() {
      isOver = true;
      alarm?.[Symbol.dispose]();
    },
  };
}

async function* thenDo(pieces: AsyncIterable<Uint8Array>, act: () => void): AsyncGenerator<Uint8Array> {
  yield* pieces;
  act();
}

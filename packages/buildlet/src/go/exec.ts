/**
 * `POST /exec`: a command that lives as long as its request. What the command did is the value; that it is not known what it did is a
 * failure. Whoever drives machines repeats after a failure and never after a value. @see buildlet.md 1.10 and 3.5
 */
import { SECOND, anySignal, type Clock, type Waits } from '@croft/runtime/clock';
import { asCroftError, CroftError, errorText } from '@croft/runtime/errors';
import type { IncomingMessage } from 'node:http';
import { refused, type Exchange, type Question } from '../exchange.ts';
import { setAlarm } from './alarm.ts';
import { parseProcessState, type ProcessEnd } from './process-state.ts';
import { goForm } from './wire-text.ts';

export interface ExecOptions {
  /** stdout and stderr as they come; the command waits while this does. Nobody reads what is not asked for. */
  readonly output?: ((piece: Buffer) => void | Promise<void>) | undefined;
  readonly args?: readonly string[] | undefined;
  /** Of the command; absent: the directory of the program, with `systemLevel` the work directory. */
  readonly dir?: string | undefined;
  /** `KEY=VALUE`, later ones win. */
  readonly extraEnv?: readonly string[] | undefined;
  /** Elements of `PATH`, with `$PATH`, `$WORKDIR` and `$EMPTY`. Absent: left alone. Empty: none. */
  readonly path?: readonly string[] | undefined;
  /** The program is the machine's and not one below the work directory. */
  readonly systemLevel?: boolean | undefined;
  /** The output begins with what is run. */
  readonly debug?: boolean | undefined;
  /** From the head of the answer on, ms; the command is ended then. */
  readonly timeoutMs?: number | undefined;
  /** The machine has taken the command; before any output. */
  readonly onStart?: (() => void) | undefined;
}

export interface ExecOutcome {
  /** As the machine said it: `ok`, `exit status 3`, `signal: killed`, or why it could not be started. */
  readonly state: string;
  readonly end: ProcessEnd;
}

export interface ExecVia {
  readonly exchange: Exchange;
  readonly clock: Clock;
  markBroken(): void;
}

const headerMs = 20 * SECOND;
const maxRefusalBytes = 4 * 1024;

/** @throws CroftError `timeout`, `unavailable`, or what a refusal says; an abort ends the command */
export async function execOn(via: ExecVia, [command, options]: [string, ExecOptions], waits: Waits): Promise<ExecOutcome> {
  const over = new AbortController();
  const signal = anySignal(waits.signal, over.signal);
  const response = await headOf(via, execQuestion(command, options), { signal, over });
  try {
    options.onStart?.();
    using _limit = setAlarm(via.clock, options.timeoutMs, () => over.abort(tookTooLong()));
    for await (const piece of response as AsyncIterable<Buffer>) await options.output?.(piece);
    const state = response.trailers['process-state'] ?? '';
    if (state !== '') return { state, end: parseProcessState(state) };
    throw new CroftError('unavailable', 'missing Process-State trailer from HTTP response; buildlet built with old (<= 1.4) Go?');
  } catch (error) {
    response.on('error', () => undefined).destroy();
    via.markBroken();
    if (signal.aborted) throw ended(signal.reason);
    if (error instanceof CroftError) throw error;
    throw new CroftError('unavailable', `error copying response: ${errorText(error)}`, { cause: error });
  }
}

async function headOf(
  { exchange, clock, markBroken }: ExecVia,
  question: Question,
  { signal, over }: { signal: AbortSignal; over: AbortController },
): Promise<IncomingMessage> {
  const late = (): void => {
    markBroken();
    over.abort(new CroftError('timeout', 'buildlet: timeout waiting for exec header response'));
  };
  using _limit = setAlarm(clock, headerMs, late);
  try {
    const response = await exchange.open(question, { signal });
    if (response.statusCode === 200) return response;
    throw refused(question.doing, { status: response.statusCode ?? 0, text: await beginning(response) });
  } catch (error) {
    throw signal.aborted ? ended(signal.reason) : error;
  }
}

function execQuestion(command: string, { args, dir = '', extraEnv, path, systemLevel, debug = false }: ExecOptions): Question {
  const clearing = path?.length === 0 ? ['$EMPTY'] : path;
  const mode = systemLevel ? 'sys' : '';
  const content = goForm({ cmd: command, mode, dir, cmdArg: args, env: extraEnv, path: clearing, debug: String(debug) });
  return { doing: `run ${command}`, method: 'POST', path: '/exec', body: { type: 'application/x-www-form-urlencoded', content } };
}

async function beginning(response: AsyncIterable<Buffer>): Promise<string> {
  let text = Buffer.alloc(0);
  for await (const piece of response) {
    text = Buffer.concat([text, piece]);
    if (text.length >= maxRefusalBytes) break;
  }
  return text.toString('utf8', 0, maxRefusalBytes);
}

/** A deadline of the caller’s own is one as well. */
function ended(reason: unknown): CroftError {
  return reason instanceof Error && reason.name === 'TimeoutError' ? tookTooLong() : asCroftError(reason, 'cancelled', 'run a command');
}

function tookTooLong(): CroftError {
  return new CroftError('timeout', 'buildlet: timeout waiting for command to complete');
}

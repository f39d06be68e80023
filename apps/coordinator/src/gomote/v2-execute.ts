/**
 * `ExecuteCommand`: a run of the buildlet, which goes on when the caller or this coordinator is gone; on one of Go's buildlets, which has
 * no runs, a request of `/exec`, which does not.
 */
import type { IncomingMessage } from 'node:http';
import { Code, ConnectError } from '@connectrpc/connect';
import { passOn } from '@croft/buildlet/pass-on';
import { parseRunId } from '@croft/domain/names';
import { anySignal, SECOND, type Clock } from '@croft/runtime/clock';
import { CroftError, errorText } from '@croft/runtime/errors';
import type { Random } from '@croft/runtime/random';
import { pulled } from '@croft/streams/pour';
import { followOutput, type Piece } from '../sessions/runs/follow-output.ts';
import { endOfRun, type EndedRun } from '../sessions/runs/run-place.ts';
import type { Entered } from '../sessions/sessions.ts';
import { commandRun, type CommandRequest } from './command-run.ts';
import { envList, isWindowsPath, mergeEnv } from './merge-env.ts';

export interface Executing {
  readonly request: CommandRequest;
  readonly entered: Entered;
  /** Of the caller and of the session. */
  readonly signal: AbortSignal;
  readonly clock: Clock;
  readonly random: Random;
}

/** Told beside the status of the call, which says nothing but whether it was 0. */
export const exitCodeTrailer = 'croft-exit-code';

/** So much stays readable behind what was handed on. */
const keptBytes = 256 * 1024 * 1024;

/** What it writes, as it comes. @returns how it ended: `exit status 3`, undefined for 0. @throws ConnectError Aborted when that cannot be told */
export async function* execute(executing: Executing): AsyncGenerator<Uint8Array, Ended> {
  try {
    if (executing.entered.ground.speaks === 'go') return yield* onGo(executing);
    return yield* asRun(executing);
  } catch (error) {
    if (error instanceof ConnectError) throw error;
    throw new ConnectError(`unable to execute command: ${errorText(error)}`, Code.Aborted);
  }
}

export interface Ended {
  readonly failure: string | undefined;
  readonly code: number | undefined;
}

async function* asRun(executing: Executing): AsyncGenerator<Uint8Array, Ended> {
  const { request, entered, signal, clock, random } = executing;
  const { buildlet, epoch, ground, session } = entered;
  const spec = commandRun(request, ground);
  const id = parseRunId(`${session.id}.r-${random.hex(8)}`);
  if (request.debug) yield debugLine(spec);
  await buildlet.startOrAttach(id, spec, epoch, { signal });
  const place = { buildlet, epoch, id, clock, random };
  const pieces = pulled<Piece>((take, left) => followOutput(place, { from: 0, keptBytes }, take, { signal: anySignal(signal, left) }));
  for await (const { bytes } of pieces) yield Uint8Array.from(bytes); // its memory is used again
  const run = await endOfRun(place, { signal });
  if (!run) throw new CroftError('unavailable', `the machine knows run ${id} no more`);
  const end = endOf(run.exit);
  await buildlet.collect(id, epoch, { signal }).catch(() => undefined); // the end of the session does it otherwise
  return end;
}

/** In Go's words. @throws CroftError for a command that was not run, or of which is not known what became */
function endOf(exit: EndedRun['exit']): Ended {
  switch (exit.kind) {
    case 'exited':
      return { failure: exit.code === 0 ? undefined : `exit status ${exit.code}`, code: exit.code };
    case 'signalled':
      return { failure: `signal: ${exit.signal}`, code: undefined };
    case 'over-limit':
    case 'killed':
      return { failure: `signal: killed (${exit.reason})`, code: undefined };
    case 'not-started':
    case 'lost':
      throw new CroftError('unavailable', exit.reason);
    default:
      return exit satisfies never;
  }
}

function debugLine({ argv, env, dir }: ReturnType<typeof commandRun>): Uint8Array {
  return Buffer.from(`:: Running ${argv[0]} with args ${JSON.stringify(argv)} and env ${JSON.stringify(envList(env))} in dir ${dir}\n\n`);
}

const headMs = 20 * SECOND;

async function* onGo({ request, entered, signal, clock }: Executing): AsyncGenerator<Uint8Array, Ended> {
  const { ground, buildlet } = entered;
  const body = formOf(request, entered);
  const headers = { 'content-type': 'application/x-www-form-urlencoded', 'content-length': String(Buffer.byteLength(body)) };
  const answer = await passOn(buildlet.address, { method: 'POST', path: '/exec', headers, body }, { clock, signal, headMs });
  if (answer.statusCode !== 200) throw new CroftError('invalid', `${ground.workDir}: ${await startOf(answer)}`);
  for await (const piece of answer as AsyncIterable<Buffer>) yield piece;
  const { 'process-state': state } = answer.trailers;
  if (state === undefined) throw new CroftError('unavailable', 'missing Process-State trailer');
  const [, code] = /^exit status (\d+)$/.exec(state) ?? [];
  return state === 'ok' ? { failure: undefined, code: 0 } : { failure: state, code: code === undefined ? undefined : Number(code) };
}

function formOf({ command, systemLevel, debug, appendEnvironment, path, directory, args }: CommandRequest, { ground }: Entered): string {
  const env = mergeEnv([envList(ground.env), appendEnvironment], { onWindows: isWindowsPath(ground.workDir) });
  const pairs = [
    ['cmd', command],
    ['mode', systemLevel ? 'sys' : ''],
    ['dir', directory],
    ['debug', String(debug)],
    ...args.map((arg) => ['cmdArg', arg]),
    ...env.map((entry) => ['env', entry]),
    ...path.map((element) => ['path', element]),
  ];
  return new URLSearchParams(pairs).toString();
}

async function startOf(answer: IncomingMessage): Promise<string> {
  for await (const piece of answer as AsyncIterable<Buffer>) return piece.toString('utf8', 0, 1_000).trim();
  return '';
}

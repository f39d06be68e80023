/** Joins a channel and a command: input, both outputs, signals and how it ended. The command outlives a lost channel, and ends with a goodbye. */
import type { RunId } from '@croft/domain/names';
import { statusOfNotStarted, type Run } from '@croft/protocol/runs';
import { anySignal, SECOND, type Clock, type Waits } from '@croft/runtime/clock';
import { isCode } from '@croft/runtime/errors';
import type { Log } from '@croft/runtime/log';
import type { Random } from '@croft/runtime/random';
import type { TaskGroup } from '@croft/runtime/tasks';
import { followOutput } from '../sessions/runs/follow-output.ts';
import { createRunInput, type RunInput } from '../sessions/runs/run-input.ts';
import { endOfRun, type EndedRun, type RunPlace } from '../sessions/runs/run-place.ts';
import type { Size } from './door-channel.ts';
import { Leaving, type ChannelEnd, type DoorChannel } from './door-channel.ts';
import type { Visit } from './visit.ts';
import { note } from './words.ts';

export interface ExecDeps {
  /** What goes on when a channel is closed. */
  readonly tasks: TaskGroup;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
}

export interface Joined {
  readonly run: Run;
  /** Offsets from which its outputs are shown. */
  readonly from: number;
  readonly errorFrom?: number | undefined;
  /** The client shows it on a terminal, but it may have none itself: lines need a CR. */
  readonly addCr?: boolean;
  /** It was begun for this channel: it ends with its goodbye, and is forgotten on the machine once its end was told. */
  readonly isOwn: boolean;
}

const hangUpMs = 5 * SECOND;
const cleanUpMs = 60 * SECOND;
/** So much stays readable behind what was shown, bytes. */
const keptBytes = 256 * 1024 * 1024;
const usualSize = { cols: 80, rows: 24 };
const maxSize = 1_000;
/** What OpenSSH says of a connection that is gone. */
const gone = 255;

/** Resolves when the channel is closed, or the run has ended and all of it was told. */
export async function joinExec(channel: DoorChannel, joined: Joined, visit: Visit, deps: ExecDeps): Promise<void> {
  const { buildlet, epoch } = visit;
  const id = joined.run.id as RunId;
  const place: RunPlace = { buildlet, epoch, id, clock: deps.clock, random: deps.random };
  const over = new AbortController();
  const signal = anySignal(channel.closed, visit.ended, over.signal);
  const tell = (say: (waits: Waits) => Promise<unknown>): void => tellRun(place, say, deps);
  channel.onSignal((name) => tell((waits) => buildlet.signal(id, `SIG${name}` as NodeJS.Signals, epoch, waits)));
  channel.onResize((size) => tell((waits) => buildlet.resize(id, clamped(size), epoch, waits)));
  const input = createRunInput(place, { signal }, { taken: joined.isOwn ? 0 : undefined, of: 'bulk', owns: true });
  deps.tasks.start('exec input', () => typeInto(channel, input, signal)); // ends with the channel, which may be later than the run
  try {
    const write = joined.addCr ? withCr(channel.write) : channel.write;
    const errors = joined.errorFrom === undefined ? [] : [{ from: joined.errorFrom, stream: 'stderr' as const }];
    await Promise.all([
      followOutput(place, { from: joined.from, keptBytes }, ({ bytes }) => write(bytes), { signal }),
      ...errors.map((wish) => followOutput(place, { ...wish, keptBytes }, ({ bytes }) => channel.writeError(bytes), { signal })),
    ]);
    await tellEnd(channel, await endOfRun(place, { signal }));
    if (joined.isOwn) tell((waits) => buildlet.collect(id, epoch, waits));
  } catch (error) {
    const { reason } = channel.closed as { reason: unknown };
    if (!(reason instanceof Leaving)) throw error;
    if (reason.isGoodbye && joined.isOwn) tell(() => hangUp(place));
  } finally {
    over.abort();
  }
}

/** What a command that takes no more is given is dropped. */
async function typeInto(channel: DoorChannel, input: RunInput, signal: AbortSignal): Promise<void> {
  let refusal: unknown;
  const give = (taken: Promise<number>): Promise<unknown> => taken.catch((error: unknown) => (refusal ??= error));
  try {
    await channel.pour((piece) => {
      if (refusal !== undefined) return undefined;
      void give(input.write(piece));
      return input.room();
    });
    if (!channel.closed.aborted) await give(input.end());
  } catch {
    // the channel is gone, as its `closed` says
  }
  if (refusal === undefined || signal.aborted || isCode(refusal, 'conflict') || isCode(refusal, 'not-found')) return;
  throw refusal;
}

function withCr(write: DoorChannel['write']): DoorChannel['write'] {
  return (piece) => write(Buffer.from(Buffer.from(piece).toString('latin1').replaceAll(/\r?\n/g, '\r\n'), 'latin1'));
}

async function tellEnd(channel: DoorChannel, run: EndedRun | undefined): Promise<void> {
  if (!run) {
    await channel.writeError(note('the run is not there any more'));
    return channel.end({ code: gone });
  }
  if ('reason' in run.exit) await channel.writeError(note(run.exit.reason));
  channel.end(endOf(run.exit));
}

export function endOf(exit: EndedRun['exit']): ChannelEnd {
  if (exit.kind === 'exited') return { code: exit.code };
  if (exit.kind === 'signalled') return { signal: exit.signal };
  return exit.kind === 'not-started' ? { code: statusOfNotStarted(exit.reason) } : { code: gone };
}

/** As far as a machine takes it. A client whose own terminal has no size says 0, which is to be ignored (RFC 4254, 6.2). */
export function clamped({ cols, rows }: Size): Size {
  const within = (value: number, usual: number): number => Math.min(value || usual, maxSize);
  return { cols: within(cols, usualSize.cols), rows: within(rows, usualSize.rows) };
}

/** Something said to the run that may come too late. */
function tellRun({ id, clock }: RunPlace, say: (waits: Waits) => Promise<unknown>, { tasks, log }: ExecDeps): void {
  tasks.start('tell a run', async ({ signal }) => {
    try {
      await say({ signal: anySignal(signal, clock.deadline(cleanUpMs)) });
    } catch (error) {
      if (!isCode(error, 'conflict') && !isCode(error, 'not-found')) log.warn('run not told', { run: id, error });
    }
  });
}

/** As a terminal that is closed: a hint first, and the end of all of it if that does not do. */
async function hangUp({ buildlet, epoch, id, clock }: RunPlace): Promise<void> {
  const signal = clock.deadline(cleanUpMs);
  await buildlet.signal(id, 'SIGHUP', epoch, { signal });
  const run = await buildlet.run(id, { signal, waitMs: hangUpMs });
  if (typeof run === 'string') return;
  if (run.state === 'running') await buildlet.cancel(id, 'its client said goodbye', epoch, { signal });
  await buildlet.collect(id, epoch, { signal });
}

/**
 * The output of a run from an offset to its end, over cut lines and restarts of the coordinator. Both streams come apart where the run keeps them
 * apart. What lies far behind is acknowledged, so that the machine's spool never stops a command that nobody collects.
 */
import { constants } from 'node:os';
import type { RunId } from '@croft/domain/names';
import { statusOfNotStarted, type Run } from '@croft/protocol/runs';
import { anySignal, type Waits } from '@croft/runtime/clock';
import { CroftError } from '@croft/runtime/errors';
import type { Cli } from '@croft/cli/program';
import { createPatience, patiently } from './patience.ts';
import { anyEpoch, type Machine } from './world.ts';

export type EndedRun = Extract<Run, { state: 'ended' }>;

/** Takes pieces that are good only until it has returned. */
export type Sink = (bytes: Uint8Array) => Promise<void>;

export interface Sinks {
  readonly stdout: Sink;
  readonly stderr: Sink;
}

const keptBytes = 256 * 1024 ** 2;
const ackEveryBytes = 16 * 1024 ** 2;
const waitMs = 30_000;
const signalNumbers: Readonly<Record<string, number>> = constants.signals;

/** @param run as it was when it was started or attached to. @throws CroftError `not-found` when the machine has lost it */
export async function followRun(
  machine: Machine,
  run: Run,
  { sinks, cli, signal: given }: Waits & { sinks: Sinks; cli: Cli },
): Promise<EndedRun> {
  const id = run.id as RunId;
  const stopped = new AbortController();
  const signal = anySignal(given, stopped.signal); // when one stream fails, the other is not left behind
  const follow = (sink: Sink, from: number, stream?: 'stderr'): Promise<void> =>
    followStream({ machine, id, stream }, { sink, from, cli, signal });
  const streams = [follow(sinks.stdout, run.output.from), ...(run.stderr ? [follow(sinks.stderr, run.stderr.from, 'stderr')] : [])];
  try {
    await Promise.all(streams);
  } catch (error) {
    stopped.abort(error);
    await Promise.allSettled(streams);
    throw error;
  }
  for (;;) {
    const seen = await patiently(cli, () => machine.buildlet.run(id, { waitMs, signal }), { signal });
    if (typeof seen === 'string') throw new CroftError('not-found', `run ${id} is ${seen} on ${machine.session.alias}`);
    if (seen.state === 'ended') return seen;
  }
}

interface Source {
  readonly machine: Machine;
  readonly id: RunId;
  readonly stream: 'stderr' | undefined;
}

interface Following extends Waits {
  readonly sink: Sink;
  readonly from: number;
  readonly cli: Cli;
}

async function followStream({ machine: { buildlet }, id, stream }: Source, { sink, from, cli, signal }: Following): Promise<void> {
  const patience = createPatience(cli);
  const waits = { signal, ...(stream === undefined ? {} : { stream }) };
  let at = from;
  let acked = from;
  for (;;) {
    try {
      for await (const piece of buildlet.output(id, at, waits)) {
        await sink(piece);
        at += piece.length;
        patience.heard();
        if (at - acked < keptBytes + ackEveryBytes) continue;
        acked = at - keptBytes;
        await buildlet.ack(id, acked, anyEpoch, waits);
      }
      return;
    } catch (error) {
      await patience.wait(error, { signal });
    }
  }
}

/** What a shell would say of such an end. */
export function statusOf({ exit }: EndedRun): number {
  switch (exit.kind) {
    case 'exited':
      return exit.code;
    case 'signalled':
      return 128 + (signalNumbers[exit.signal] ?? 0);
    case 'killed':
      return 128 + constants.signals.SIGKILL;
    case 'not-started':
      return statusOfNotStarted(exit.reason);
    default:
      return 1;
  }
}

/** One sentence about an end that the command itself has not told. */
export function endSentence({ exit }: EndedRun): string | undefined {
  if (exit.kind === 'exited') return undefined;
  return exit.kind === 'signalled' ? `the command was killed by ${exit.signal}` : exit.reason;
}

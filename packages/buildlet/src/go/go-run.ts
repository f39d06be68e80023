/**
 * A run on a machine that knows none: a request of `/exec` that this process holds open, whose output is spooled here until it is
 * acknowledged. The command ends with the request; what it has started beside itself is the machine's to clear away.
 */
import { rm } from 'node:fs/promises';
import type { Exit } from '@croft/domain/outcome';
import type { Run, RunSpec } from '@croft/protocol/runs';
import type { Clock } from '@croft/runtime/clock';
import { CroftError, errorText, isCode } from '@croft/runtime/errors';
import { createBell } from '@croft/runtime/tasks';
import { openSegmentLog, type SegmentLog } from '@croft/streams/segment-log';
import type { GoClient } from '../go-client.ts';
import { setAlarm } from './alarm.ts';
import type { GoCommand } from './go-command.ts';

type Ending = Extract<Exit, { kind: 'over-limit' | 'killed' | 'lost' }>;

export interface GoRun {
  readonly spec: RunSpec;
  readonly spool: SegmentLog;
  /** Resolves when the machine has taken the command, or it has ended without. */
  readonly started: Promise<void>;
  readonly ended: Promise<void>;
  view(): Run;
  ack(to: number): Promise<void>;
  /** Gives the request up; the first cause counts. */
  kill(cause: Ending): void;
  /** Once it has ended. */
  remove(): Promise<void>;
}

export interface GoRunOptions {
  readonly client: GoClient;
  readonly clock: Clock;
  readonly spec: RunSpec;
  readonly command: GoCommand;
  /** Made when missing, removed at the end. */
  readonly spoolDir: string;
  /** Of output that is not acknowledged: the command waits beyond. */
  readonly spoolLimitBytes: number;
}

const retryMs = 500;

/** Never rejects once it has begun: whatever happens is the run's end. */
export async function startGoRun(id: string, options: GoRunOptions): Promise<GoRun> {
  const { clock, spec, spoolDir } = options;
  const spool = await openSegmentLog(spoolDir);
  const over = new AbortController();
  const started = Promise.withResolvers<void>();
  const room = createBell();
  const startedAt = clock.now();
  let acked = 0;
  let cause: Ending | undefined;
  let end: { at: number; exit: Exit } | undefined;
  const kill = (why: Ending): void => {
    cause ??= why;
    over.abort(new CroftError('cancelled', why.reason));
  };
  const isFull = (): boolean => spool.length - acked > options.spoolLimitBytes;
  const store = (piece: Buffer): Promise<void> => storeOutput(piece, { spool, clock, room, isFull, signal: over.signal, spec, kill });

  const bringToEnd = async (): Promise<void> => {
    const exit = await runCommand(options, { store, kill, signal: over.signal, onStart: started.resolve });
    end = { at: clock.now(), exit: cause ?? exit };
    spool.finish();
    started.resolve();
  };
  return {
    spec,
    spool,
    started: started.promise,
    ended: bringToEnd(),
    view() {
      const shown = { id, startedAt, output: { length: spool.length, from: spool.from } };
      return end ? { ...shown, state: 'ended', endedAt: end.at, exit: end.exit } : { ...shown, state: 'running' };
    },
    async ack(to) {
      acked = Math.max(acked, to);
      room.ring();
      await spool.dropBefore(acked);
    },
    kill,
    async remove() {
      await spool[Symbol.asyncDispose]();
      await rm(spoolDir, { recursive: true, force: true });
    },
  };
}

interface Controls {
  store(piece: Buffer): Promise<void>;
  kill(cause: Ending): void;
  onStart(): void;
  readonly signal: AbortSignal;
}

async function runCommand({ client, clock, spec, command }: GoRunOptions, { store, kill, onStart, signal }: Controls): Promise<Exit> {
  using _limit = setAlarm(clock, spec.limitMs, () =>
    kill({ kind: 'over-limit', limit: 'time', reason: `it ran longer than ${spec.limitMs} ms` }),
  );
  try {
    return (await client.exec(command.command, { ...command.options, output: store, onStart }, { signal })).end;
  } catch (error) {
    // A request that is refused was understood: there is no such command or directory.
    const isRefused = isCode(error, 'invalid');
    return { kind: isRefused ? 'not-started' : 'lost', reason: errorText(error) };
  }
}

interface Storing {
  readonly spool: SegmentLog;
  readonly clock: Clock;
  readonly room: { wait(waits: { signal: AbortSignal }): Promise<void> };
  readonly signal: AbortSignal;
  readonly spec: RunSpec;
  isFull(): boolean;
  kill(cause: Ending): void;
}

/** Returns when it is stored, so that the machine waits with more; a full disk here holds the command up and loses nothing. */
async function storeOutput(piece: Buffer, { spool, clock, room, isFull, signal, spec, kill }: Storing): Promise<void> {
  const kept = piece.subarray(0, Math.max(0, spec.outputLimitBytes - spool.length));
  while (isFull()) await room.wait({ signal });
  for (let stored = kept.length === 0; !stored;) {
    try {
      await spool.append(kept);
      stored = true;
    } catch (error) {
      if (!isCode(error, 'exhausted')) throw error;
      await clock.sleep(retryMs, { signal });
    }
  }
  if (kept.length < piece.length) {
    kill({ kind: 'over-limit', limit: 'output', reason: `it wrote more than ${spec.outputLimitBytes} bytes` });
  }
}

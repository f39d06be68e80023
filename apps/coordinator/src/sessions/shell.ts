/**
 * A run that somebody is attached to, over whatever hops lie between: what it writes from an offset on, what is typed, its size and its
 * end. Letting go leaves it running; hanging up ends it.
 */
import type { Buildlet } from '@croft/buildlet/client';
import type { RunId } from '@croft/domain/names';
import type { Exit } from '@croft/domain/outcome';
import type { Run, TerminalSize } from '@croft/protocol/runs';
import { anySignal, SECOND, type Clock, type Waits } from '@croft/runtime/clock';
import { isCode } from '@croft/runtime/errors';
import { backoffMs, type Random } from '@croft/runtime/random';
import { liveOutput } from '../builds/live-output.ts';
import type { RunInput } from './run-input.ts';

export interface Shell extends AsyncDisposable {
  /** Of its run, without the session's id: `sh-…`, `r-…`. */
  readonly name: string;
  /** It has just been started. */
  readonly isFresh: boolean;
  /** The bytes of its output that there were when it was attached to. */
  readonly output: Run['output'];
  /**
   * From an offset on, until it has ended and everything was given; goes on over cut lines. A piece that begins later than the one before ended: what
   * lies between was not kept. Each is good only until the next is asked for.
   */
  follow(from: number, waits: Waits): AsyncGenerator<Piece>;
  /** What is typed. Resolves when it was taken, to how much was in all. @throws CroftError `conflict` when it has ended or takes none */
  write(bytes: Uint8Array): Promise<number>;
  resize(size: TerminalSize, waits: Waits): Promise<void>;
  /** How it ended. Waits for that. */
  exit(waits: Waits): Promise<Exit>;
  /** What closing a terminal does: SIGHUP, and after two seconds the end of whatever did not heed it. */
  hangUp(waits: Waits): Promise<void>;
}

export interface Piece {
  readonly from: number;
  readonly bytes: Buffer;
}

export interface ShellDeps {
  readonly buildlet: Buildlet;
  readonly epoch: number;
  readonly clock: Clock;
  readonly random: Random;
  /** Aborted when its session ends or its machine is lost. */
  readonly ended: AbortSignal;
}

export interface Attached {
  readonly id: RunId;
  readonly name: string;
  readonly isFresh: boolean;
  readonly output: Run['output'];
  readonly input: RunInput;
  /** Of its output, what stays for those who come later. */
  readonly keptBytes: number;
  /** Called once; `seen`: its end has come and was seen whole. */
  letGo(seen: boolean): Promise<void>;
}

const waitMs = 20 * SECOND;
const heedMs = SECOND;
/** Output is acknowledged in steps, not with each key. */
const ackStepBytes = 256 * 1024;

export function createShell(attached: Attached, deps: ShellDeps): Shell {
  const { id, name, isFresh, output, input, letGo } = attached;
  const { buildlet, epoch, ended } = deps;
  let seen = false;
  let held = true;
  return {
    name,
    isFresh,
    output,
    async *follow(from, waits) {
      yield* follow(from, attached, { ...deps, ended: anySignal(waits.signal, ended) });
      seen = true;
    },
    write: (bytes) => input.write(bytes),
    resize: (size, waits) => keepAsking(() => buildlet.resize(id, size, epoch, waits), { ...deps, ended: anySignal(waits.signal, ended) }),
    async exit(waits) {
      for (;;) {
        const now = await keepAsking(() => buildlet.run(id, { ...waits, waitMs }), { ...deps, ended: anySignal(waits.signal, ended) });
        if (now === 'unknown' || now === 'collected') return { kind: 'lost', reason: 'its machine does not know it any more' };
        if (now.state === 'ended') return now.exit;
      }
    },
    async hangUp(waits) {
      // The first may reach a command in the foreground and not the shell that waits for it.
      for (let tries = 0; tries < 2; tries += 1) {
        await buildlet.signal(id, 'SIGHUP', epoch, waits);
        const now = await buildlet.run(id, { ...waits, waitMs: heedMs });
        if (now === 'unknown' || now === 'collected' || now.state === 'ended') return;
      }
      await buildlet.cancel(id, 'its terminal was closed', epoch, waits);
    },
    async [Symbol.asyncDispose]() {
      if (!held) return;
      held = false;
      await letGo(seen);
    },
  };
}

async function* follow(from: number, { id, keptBytes }: Attached, deps: ShellDeps): AsyncGenerator<Piece> {
  const { buildlet, epoch, clock, ended: signal } = deps;
  let at = from;
  let acked = 0;
  for (let failures = 0; ; failures += 1) {
    try {
      for await (const bytes of liveOutput(at, { id, buildlet, clock, signal })) {
        failures = 0;
        yield { from: at, bytes };
        at += bytes.length;
        if (at - keptBytes - acked < ackStepBytes) continue;
        acked = at - keptBytes;
        await buildlet.ack(id, acked, epoch, { signal });
      }
      return;
    } catch (error) {
      signal.throwIfAborted();
      if (isCode(error, 'not-found')) at = await keptFrom(id, at, error, deps);
      else await pause(error, failures, deps);
    }
  }
}

/** Somebody else who is attached was quicker and let go of what we have not seen yet. */
async function keptFrom(id: RunId, at: number, gone: unknown, { buildlet, ended: signal }: ShellDeps): Promise<number> {
  const now = await buildlet.run(id, { signal });
  if (now === 'unknown' || now === 'collected' || now.output.from <= at) throw gone;
  return now.output.from;
}

/** Repeats what its machine was not reached with. Whoever declares that lost aborts `ended`. */
export async function keepAsking<T>(call: () => Promise<T>, deps: ShellDeps): Promise<T> {
  for (let failures = 0; ; failures += 1) {
    try {
      return await call();
    } catch (error) {
      deps.ended.throwIfAborted();
      await pause(error, failures, deps);
    }
  }
}

/** @throws the error, unless it may work later */
async function pause(error: unknown, failures: number, { clock, random, ended: signal }: ShellDeps): Promise<void> {
  if (!isCode(error, 'unavailable') && !isCode(error, 'timeout')) throw error;
  await clock.sleep(backoffMs(failures, random), { signal });
}

/**
 * Brings a run's output into the attempt's log until the run has ended and every byte is durable. Bytes have the same offsets in
 * the spool as in the log (less the step's start), so it resumes exactly where the durable log ends, however often it is cut.
 */
import type { RunId } from '@croft/domain/names';
import type { Exit, Seen } from '@croft/domain/outcome';
import type { Buildlet } from '@croft/buildlet/client';
import { anySignal, SECOND } from '@croft/runtime/clock';
import { CroftError, isCode } from '@croft/runtime/errors';
import { backoffMs } from '@croft/runtime/random';
import { NotTaken } from '@croft/streams/pour';
import { shortened, watchEnd, type Ending } from './end-here.ts';
import { keepTrying } from './keep-trying.ts';
import { liveOutput } from './live-output.ts';
import type { AttemptLog, DriverWaits, FarmDeps, Work } from './work.ts';

interface Followed {
  readonly id: RunId;
  readonly logFrom: number;
  readonly buildlet: Buildlet;
  /** As its machine was told. */
  readonly limits: { readonly limitMs: number; readonly outputLimitBytes: number };
  /** Why the run is to be killed, once it is. */
  cancelReason(): Promise<string | undefined>;
}

interface Drive {
  readonly work: Work;
  readonly log: AttemptLog;
  readonly farm: FarmDeps;
  readonly waits: DriverWaits;
}

/** Flush to the store and acknowledge at least this often while output comes. */
const flushMs = 200;
const waitMs = 20_000;
const abandonMs = 5 * SECOND;

/** How it ended, and what its machine saw. */
export interface RunEnd {
  readonly exit: Exit;
  readonly seen?: Seen;
}

export async function followRun(run: Followed, drive: Drive): Promise<RunEnd> {
  const { farm, work, log, waits } = drive;
  const ending = watchEnd(run.limits, farm.clock);
  await using flusher = startFlusher(run, drive);
  await using _canceller = startCanceller(run, drive, ending);
  const follow = async (): Promise<RunEnd> => {
    await bringOutput(run, drive, ending, async (chunk) => {
      await append(chunk, drive);
      flusher.poke();
    });
    const now = await run.buildlet.run(run.id, { signal: waits.signal, waitMs });
    if (now === 'unknown' || now === 'collected') return lost(`the buildlet does not know the run any more (${now})`);
    // The output ends after the run, and whole: what is cut on the way fails above.
    if (now.state === 'running') return lost('the buildlet ended the output, but says that the run goes on');
    const came = log.length - run.logFrom;
    if (now.output.length !== came) return lost(`the buildlet sent ${came} bytes of output, but says that there are ${now.output.length}`);
    const { usage, evidence } = now;
    return { exit: shortened(now.exit), ...(usage || evidence ? { seen: { usage, evidence } } : {}) };
  };
  const end = await keepTrying(() => follow().catch(lostWhenUnknown), {
    work,
    farm,
    signal: waits.signal,
    progress: () => log.length,
  }).catch(async (error: unknown) => {
    waits.signal.throwIfAborted();
    if (!ending.exit) throw error;
    await abandon(run, ending.exit, drive);
    return { exit: ending.exit };
  });
  await flusher.finish();
  return end;
}

/** What comes, without secrets and no more than the run may write; offsets stay those of the spool. Its end is looked at with each piece and each time that a quiet line is opened again. */
async function bringOutput(
  run: Followed,
  { farm, log, waits }: Drive,
  ending: Ending,
  store: (chunk: Buffer) => Promise<void>,
): Promise<void> {
  const { id, logFrom, limits } = run;
  const pourOutput: Buildlet['pourOutput'] = async (...asked) => {
    ending.check();
    return run.buildlet.pourOutput(...asked);
  };
  let came = log.length - logFrom;
  const mask = farm.secrets.mask(); // begins where the log ends: what it held back comes again
  const take = async (chunk: Buffer): Promise<void> => {
    const room = Math.max(0, limits.outputLimitBytes - came);
    came += Math.min(room, chunk.length);
    await store(mask.push(chunk.subarray(0, room)));
    if (chunk.length > room)
      ending.decide({ kind: 'over-limit', limit: 'output', reason: `it wrote more than ${limits.outputLimitBytes} bytes` });
    ending.check();
  };
  try {
    await liveOutput(came, take, { id, buildlet: { pourOutput }, clock: farm.clock, signal: waits.signal });
  } catch (error) {
    throw error instanceof NotTaken ? error.cause : error;
  }
  await store(mask.end());
}

/** A buildlet that began afresh has never heard of the run. */
function lostWhenUnknown(error: unknown): RunEnd {
  if (isCode(error, 'not-found')) return lost(error.message);
  throw error;
}

function lost(reason: string): RunEnd {
  return { exit: { kind: 'lost', reason } };
}

/** Its end is decided, whatever its machine makes of it. Before the next attempt there it is killed at the latest. */
async function abandon({ id, buildlet }: Followed, exit: Exit, { farm, work, waits }: Drive): Promise<void> {
  farm.log.warn('end of a run decided without its machine', { run: id, machine: work.lease.machine, exit });
  const signal = anySignal(waits.signal, farm.clock.deadline(abandonMs));
  await buildlet.cancel(id, 'its end was decided by the farm', work.lease.epoch, { signal }).catch((error: unknown) => {
    farm.log.debug('abandoned run not cancelled', { run: id, error });
  });
}

/** A full disk here is waited out: the output stays in the spool and the command waits in its write. */
async function append(chunk: Uint8Array, { log, farm, waits }: Drive): Promise<void> {
  await whileStorageFails(() => log.append(chunk), { farm, signal: waits.signal });
}

/** Repeats what a full disk or a database that is gone or slow refuses. Nothing is lost meanwhile: what is not stored stays spooled. */
async function whileStorageFails<T>(store: () => Promise<T>, { farm, signal }: { farm: FarmDeps; signal: AbortSignal }): Promise<T> {
  for (let tries = 0; ; tries += 1) {
    try {
      return await store();
    } catch (error) {
      if (!isCode(error, 'exhausted') && !isCode(error, 'unavailable')) throw error;
      farm.log.warn('output cannot be stored, waiting', { error });
      await farm.clock.sleep(backoffMs(tries, farm.random), { signal });
    }
  }
}

interface Flusher extends AsyncDisposable {
  poke(): void;
  /** Everything is durable and in the store. What was not acknowledged by now is dropped with the run, which saves a request. */
  finish(): Promise<void>;
}

function startFlusher(run: Followed, { work, log, farm, waits }: Drive): Flusher {
  const closing = new AbortController();
  const signal = AbortSignal.any([waits.signal, closing.signal]);
  let stored = -1;
  let failed: unknown;
  let turn: Promise<void> = Promise.resolve();
  let later: Promise<void> | undefined;
  /** True when there was more to store. */
  const store = async (): Promise<boolean> => {
    const length = await log.sync();
    if (length.bytes === stored) return false;
    await farm.records.saveLogLength(work, length);
    stored = length.bytes;
    return true;
  };
  const keep = (): Promise<boolean> => whileStorageFails(store, { farm, signal: waits.signal });
  const flush = async (): Promise<void> => {
    if (!(await keep())) return;
    await run.buildlet.ack(run.id, stored - run.logFrom, work.lease.epoch, { signal: waits.signal }).catch((error: unknown) => {
      if (waits.signal.aborted || isCode(error, 'stale')) throw error;
      farm.log.debug('output not acknowledged', { run: run.id, error }); // how it stands with the run shows when its output ends
    });
  };
  /** One after the other, so that the stored length never goes back. */
  const inTurn = (act: () => Promise<unknown>): Promise<void> => {
    const mine = turn.then(act).then(() => undefined);
    turn = mine.catch(() => undefined);
    return mine;
  };
  const flushLater = async (): Promise<void> => {
    try {
      await farm.clock.sleep(flushMs, { signal });
      await inTurn(flush);
    } catch (error) {
      if (!closing.signal.aborted) failed ??= error;
    } finally {
      later = undefined;
    }
  };
  return {
    poke() {
      if (failed !== undefined) throw failed;
      later ??= flushLater();
    },
    async finish() {
      if (failed !== undefined) throw failed;
      await inTurn(keep);
    },
    async [Symbol.asyncDispose]() {
      closing.abort(new CroftError('stopped', 'the run has ended'));
      await later;
      await turn;
      if (log.length === stored) return;
      // What was shown stays, also when nobody will drive on. After a lost lease this is refused, and the next driver brings it again.
      await store().catch((error: unknown) => farm.log.debug('last output left to the next driver', { build: work.build, error }));
    },
  };
}

/** Kills the run when the build is cancelled; what the command wrote until then is still followed to its end. */
function startCanceller(run: Followed, { work, farm, waits }: Drive, ending: Ending): AsyncDisposable {
  const controller = new AbortController();
  const signal = AbortSignal.any([waits.signal, controller.signal]);
  let cancelling: Promise<void> = Promise.resolve();
  const onCancel = (): void => {
    cancelling = cancelRun().catch((error: unknown) => {
      if (!signal.aborted) farm.log.error('cancelling a run failed', { run: run.id, error });
    });
  };
  const cancelRun = async (): Promise<void> => {
    const kill = async (): Promise<void> => {
      const reason = await run.cancelReason();
      if (reason === undefined) return;
      ending.dying(reason);
      await run.buildlet.cancel(run.id, reason, work.lease.epoch, { signal });
    };
    await keepTrying(kill, { work, farm, signal });
  };
  onCancel();
  waits.cancelled.addEventListener('abort', onCancel, { once: true });
  return {
    async [Symbol.asyncDispose]() {
      waits.cancelled.removeEventListener('abort', onCancel);
      controller.abort(new CroftError('stopped', 'the run has ended'));
      await cancelling;
    },
  };
}

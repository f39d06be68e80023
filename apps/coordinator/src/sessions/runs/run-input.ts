/**
 * What all who are attached to one run give it to read: in one order and with offsets, so that nothing is taken twice or left out however
 * often the line to its machine is cut. One request carries key after key, each at once, until nobody has typed for a while: a request
 * for each would be slower, and its garbage what stops everybody else's keys now and then.
 */
import { SECOND, type Waits } from '@croft/runtime/clock';
import { createBell, type Bell } from '@croft/runtime/tasks';
import { createBacklog, type Backlog } from './backlog.ts';
import { keepAsking, type RunPlace } from './run-place.ts';

export interface RunInput {
  /**
   * Resolves when the run has taken it, to how much it has taken in all; that is told a while after it was, unless nothing is given, which asks just that.
   * @throws CroftError `conflict` when it has ended or takes none
   */
  write(bytes: Uint8Array): Promise<number>;
  /** For whoever need not hear that it was taken, nor that it was not: leaves nothing to wait for. Its memory is nobody else’s. */
  give(bytes: Uint8Array): void;
  /** As `write`; nothing comes after it. */
  end(): Promise<number>;
  /** Resolves when so little waits to go out that more may be written, for whoever does not wait until it was taken. */
  room(): Promise<void>;
}

/** What one request carries, which is held to be sent again. */
interface Batch {
  readonly backlog: Backlog;
  readonly taken: PromiseWithResolvers<number>;
  readonly isLast: boolean;
  readonly changed: Bell;
  /** What it takes to hold it, bytes. */
  cost: number;
  /** Nothing is added any more. */
  isWhole: boolean;
  /** Whether every piece has gone out in the request under way; one that was cut before may still wait for more of them. */
  sent: { isAll: boolean };
}

/** More may be added to a request that is on its way until it has carried so much: keys, of which somebody waits to hear that they were taken, or bulk. */
const joinedBytes = { keys: 256 * 1024, bulk: 4 * 1024 * 1024 } as const;
/** So much may wait for the next one, and goes together. */
const batchBytes = 1024 * 1024;
/** So much is copied together to go out at once. */
const littleBytes = 64 * 1024;
/** Of each piece, beside what is in it. */
const pieceBytes = 256;
/** So long after the last key a request ends, or up to twice as long, to learn what was taken. */
const quietMs = SECOND;
const nothing = new Uint8Array();

export interface InputOptions {
  /** How much the run has taken by now, where that is known. */
  readonly taken?: number | undefined;
  /** What mostly comes. */
  readonly of?: keyof typeof joinedBytes;
  /** The memory of what is written is nobody else's, and comes piece after piece: it is released when the run has taken it. */
  readonly owns?: boolean;
}

export function createRunInput(place: RunPlace, waits: Waits, { taken, of = 'keys', owns = false }: InputOptions = {}): RunInput {
  const joinable = joinedBytes[of];
  let releases = owns;
  const moved = createBell();
  /** The first one is on its way, the last one takes what comes. */
  const batches: Batch[] = [];
  let at = taken;
  const sendAll = async (): Promise<void> => {
    for (let batch = batches[0]; batch; batch = batches[0]) {
      try {
        at ??= await askTaken(place, waits);
        if (batch.cost >= joinable) close(batch);
        at = await send(batch, at, place, waits);
        batch.taken.resolve(at);
        releases &&= batch.sent.isAll; // a machine may say that it took what is still on its way
        if (releases) batch.backlog.release();
      } catch (error) {
        releases = false;
        at = undefined;
        batch.taken.reject(error);
      }
      close(batch);
      batches.shift();
      moved.ring();
    }
  };
  const openBatch = (isLast: boolean): Batch => {
    const newest = batches.at(-1);
    if (newest && !newest.isWhole && !isLast) return newest;
    if (newest) close(newest);
    const told = { taken: Promise.withResolvers<number>(), changed: createBell() };
    const batch: Batch = { ...told, backlog: createBacklog(), isLast, cost: 0, isWhole: isLast, sent: { isAll: false } };
    batch.taken.promise.catch(() => undefined); // whoever wants to know has asked
    if (batches.push(batch) === 1) void sendAll();
    return batch;
  };
  const add = (bytes: Uint8Array, isLast: boolean): Batch => {
    const batch = openBatch(isLast);
    batch.backlog.add(bytes);
    batch.cost += bytes.length + pieceBytes;
    batch.changed.ring();
    if (bytes.length === 0 || batch.cost >= (batch === batches[0] ? joinable : Math.max(joinable, batchBytes))) close(batch);
    return batch;
  };
  return {
    write: (bytes) => add(bytes, false).taken.promise,
    give: (bytes) => void add(bytes, false),
    end: () => add(nothing, true).taken.promise,
    async room() {
      while (batches[1] && batches[1].cost >= batchBytes) await moved.wait({});
    },
  };
}

function close(batch: Batch): void {
  batch.isWhole = true;
  batch.changed.ring();
}

function askTaken(place: RunPlace, waits: Waits): Promise<number> {
  const { buildlet, id, epoch } = place;
  return keepAsking(() => buildlet.writeStdin(id, { from: 0, content: nothing }, epoch, waits), place, waits);
}

async function send(batch: Batch, from: number, place: RunPlace, waits: Waits): Promise<number> {
  const { buildlet, id, epoch, clock } = place;
  const over = new AbortController();
  const closing = closeWhenQuiet(batch, clock, over.signal);
  try {
    const end = batch.isLast;
    const ask = (): Promise<number> =>
      buildlet.writeStdin(id, { from, content: contentOf(batch, (batch.sent = { isAll: false })), end }, epoch, waits);
    return await keepAsking(ask, place, waits);
  } finally {
    over.abort();
    await closing;
  }
}

/** One timer for many keys. */
async function closeWhenQuiet(batch: Batch, clock: RunPlace['clock'], signal: AbortSignal): Promise<void> {
  try {
    for (let seen = -1; !batch.isWhole && seen !== batch.cost;) {
      seen = batch.cost;
      await clock.sleep(quietMs, { signal });
    }
  } catch {
    // the request has ended
  }
  close(batch);
}

/** Is asked for the next piece when the one before has gone out. */
async function* contentOf(batch: Batch, sent: Batch['sent']): AsyncGenerator<Uint8Array> {
  const news = batch.backlog.reader();
  for (;;) {
    const fresh = news();
    if (fresh.length > 1 && fresh.reduce((bytes, { length }) => bytes + length, 0) <= littleBytes) yield Buffer.concat(fresh);
    else if (fresh.length > 0) yield* fresh;
    else if (batch.isWhole) break;
    else await batch.changed.wait({});
  }
  sent.isAll = true;
}

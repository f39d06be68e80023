/**
 * What all who are attached to one run give it to read: in one order and with offsets, so that nothing is taken twice or left out however
 * often the line to its machine is cut. One request carries key after key, each at once, for as long as somebody may type; where somebody
 * waits to hear what was taken it ends when nobody has typed for a while. A request for each would be slower, the first key after a
 * pause the slowest of all, and its garbage what stops everybody else's keys now and then.
 */
import type { Feed } from '@croft/buildlet/client';
import { SECOND, type Waits } from '@croft/runtime/clock';
import { createBell } from '@croft/runtime/tasks';
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
  /** Resolves when so little waits to go out that more may be written, for whoever does not wait until it was taken; undefined when that is so already. */
  room(): Promise<void> | undefined;
  /** Nobody types for now: what is under way comes to its end. */
  rest(): void;
}

/** What one request carries, which is held to be sent again. */
interface Batch {
  readonly backlog: Backlog;
  readonly taken: PromiseWithResolvers<number>;
  readonly isLast: boolean;
  /** Its request is over. */
  readonly over: AbortController;
  /** Of the request under way, which is to hear of what is added. */
  changed: () => void;
  /** For whoever waits until it was taken. */
  closing?: Promise<void>;
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
        await settle(batch);
        batch.taken.resolve(at);
        releases &&= batch.sent.isAll; // a machine may say that it took what is still on its way
        if (releases) batch.backlog.release();
      } catch (error) {
        releases = false;
        at = undefined;
        await settle(batch);
        batch.taken.reject(error);
      }
      batches.shift();
      moved.ring();
    }
  };
  const openBatch = (isLast: boolean): Batch => {
    const newest = batches.at(-1);
    if (newest && !newest.isWhole && !isLast) return newest;
    if (newest) close(newest);
    const batch = newBatch(isLast);
    if (batches.push(batch) === 1) void sendAll();
    return batch;
  };
  const add = (bytes: Uint8Array, isLast: boolean): Batch => {
    const batch = openBatch(isLast);
    batch.backlog.add(bytes);
    batch.cost += bytes.length + pieceBytes;
    batch.changed();
    if (bytes.length === 0 || batch.cost >= (batch === batches[0] ? joinable : Math.max(joinable, batchBytes))) close(batch);
    return batch;
  };
  const isFull = (): boolean => batches[1] !== undefined && batches[1].cost >= batchBytes;
  const whenRoom = async (): Promise<void> => {
    while (isFull()) await moved.wait({});
  };
  return {
    async write(bytes) {
      const batch = add(bytes, false);
      batch.closing ??= closeWhenQuiet(batch, place.clock);
      return batch.taken.promise;
    },
    give: (bytes) => void add(bytes, false),
    end: () => add(nothing, true).taken.promise,
    room: () => (isFull() ? whenRoom() : undefined),
    rest: () => batches.forEach(close),
  };
}

function newBatch(isLast: boolean): Batch {
  const taken = Promise.withResolvers<number>();
  taken.promise.catch(() => undefined); // whoever wants to know has asked
  const about = { taken, isLast, over: new AbortController(), sent: { isAll: false } };
  return { ...about, backlog: createBacklog(), changed: () => undefined, cost: 0, isWhole: isLast };
}

function close(batch: Batch): void {
  if (batch.isWhole) return;
  batch.isWhole = true;
  batch.changed();
}

/** Its request is over: what comes now goes into the next one. */
async function settle(batch: Batch): Promise<void> {
  close(batch);
  batch.over.abort();
  await batch.closing;
}

function askTaken(place: RunPlace, waits: Waits): Promise<number> {
  const { buildlet, id, epoch } = place;
  return keepAsking(() => buildlet.writeStdin(id, { from: 0, content: nothing }, epoch, waits), place, waits);
}

async function send(batch: Batch, from: number, place: RunPlace, waits: Waits): Promise<number> {
  const { buildlet, id, epoch } = place;
  const ask = (): Promise<number> => buildlet.writeStdin(id, { from, content: feedOf(batch), end: batch.isLast }, epoch, waits);
  return keepAsking(ask, place, waits);
}

/** One timer for many keys. */
async function closeWhenQuiet(batch: Batch, clock: RunPlace['clock']): Promise<void> {
  const { signal } = batch.over;
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

/** From the beginning: of the request that is made now. */
function feedOf(batch: Batch): Feed {
  const news = batch.backlog.reader();
  const sent: Batch['sent'] = { isAll: false };
  batch.sent = sent;
  return {
    next() {
      const fresh = news();
      if (fresh.length === 0) return batch.isWhole ? undefined : fresh;
      return fresh.length > 1 && fresh.reduce((bytes, { length }) => bytes + length, 0) <= littleBytes ? [Buffer.concat(fresh)] : fresh;
    },
    listen: (act) => void (batch.changed = act),
    sent: () => void (sent.isAll = true),
  };
}

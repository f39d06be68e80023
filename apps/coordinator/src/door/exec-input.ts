/** What a client sends to its command, in long requests, over lost lines: nothing is taken twice or left out. */
import { anySignal, type Waits } from '@croft/runtime/clock';
import { isCode } from '@croft/runtime/errors';
import { backoffMs } from '@croft/runtime/random';
import { createBell } from '@croft/runtime/tasks';
import { isPassing, type RunPlace } from './exec-output.ts';

export interface ExecInput {
  /** Waits while much is on its way. What a command that takes no more is given is dropped. */
  write(piece: Buffer): Promise<void>;
  /** Nothing comes after this. */
  end(): void;
}

/** What waits here to go out, bytes. */
const queueBytes = 256 * 1024;
/** A request ends after so much, to learn what was taken: this is held to be sent again, bytes. */
const requestBytes = 4 * 1024 * 1024;

/** @param keep runs what sends; it ends with its signal, or when the command takes no more */
export function createExecInput(place: RunPlace, keep: (task: (waits: Waits) => Promise<void>) => void): ExecInput {
  const queue = createQueue();
  keep(async (waits) => {
    try {
      await sendAll(queue, place, waits);
    } catch (error) {
      if (!isCode(error, 'conflict') && !isCode(error, 'not-found')) throw error; // it has ended, or takes none
    } finally {
      queue.close();
    }
  });
  return { write: queue.add, end: queue.end };
}

interface Queue {
  readonly isOver: boolean;
  add(piece: Buffer): Promise<void>;
  end(): void;
  /** What comes, until it is long enough for one request or the end was said; remembered in `carried`. */
  portion(carried: Buffer[], waits: Waits): AsyncGenerator<Buffer>;
  putBack(piece: Buffer): void;
  close(): void;
}

function createQueue(): Queue {
  const added = createBell();
  const room = createBell();
  let pieces: Buffer[] = [];
  let bytes = 0;
  let isEnded = false;
  let isClosed = false;
  return {
    get isOver() {
      return isEnded && pieces.length === 0;
    },
    async add(piece) {
      while (!isClosed && bytes >= queueBytes) await room.wait({});
      if (isClosed) return;
      pieces.push(piece);
      bytes += piece.length;
      added.ring();
    },
    end() {
      isEnded = true;
      added.ring();
    },
    async *portion(carried, waits) {
      for (let sent = 0; sent < requestBytes;) {
        const piece = pieces.shift();
        if (piece) {
          bytes -= piece.length;
          sent += piece.length;
          carried.push(piece);
          room.ring();
          yield piece;
        } else if (isEnded) return;
        else await added.wait(waits);
      }
    },
    putBack(piece) {
      if (piece.length > 0) pieces.unshift(piece);
      bytes += piece.length;
    },
    close() {
      isClosed = true;
      pieces = [];
      room.ring();
    },
  };
}

async function sendAll(queue: Queue, place: RunPlace, waits: Waits): Promise<void> {
  const { buildlet, epoch, id, clock, random } = place;
  /** Only asks how much was taken. */
  const takenFrom = (from: number): Promise<number> => buildlet.writeStdin(id, { from, content: new Uint8Array() }, epoch, waits);
  let at = 0;
  for (let tries = 0; ;) {
    const carried: Buffer[] = [];
    const over = new AbortController(); // what comes after the request has failed is for the next one
    try {
      const isLast = queue.isOver;
      const content = isLast ? new Uint8Array() : queue.portion(carried, { signal: anySignal(waits.signal, over.signal) });
      at = await buildlet.writeStdin(id, { from: at, content, end: isLast }, epoch, waits);
      if (isLast) return;
      tries = 0;
    } catch (error) {
      over.abort();
      if (!isPassing(error)) throw error;
      await clock.sleep(backoffMs((tries += 1), random), waits);
      const taken = carried.length === 0 ? at : await keepAsking(() => takenFrom(at), place, waits);
      queue.putBack(Buffer.concat(carried).subarray(taken - at));
      at = taken;
    }
  }
}

/** Until it answers, or fails otherwise than by a lost line. */
async function keepAsking<T>(ask: () => Promise<T>, { clock, random }: RunPlace, waits: Waits): Promise<T> {
  for (let tries = 0; ; tries += 1) {
    try {
      return await ask();
    } catch (error) {
      if (!isPassing(error)) throw error;
      await clock.sleep(backoffMs(tries, random), waits);
    }
  }
}

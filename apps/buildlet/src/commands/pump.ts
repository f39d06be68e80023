/**
 * Reads a pipe into a ring and hands it on in pieces as large as they have become while the last piece was being stored. Without
 * the ring each 64 KiB of a pipe would be an allocation, a copy and a write of its own.
 */
import { readSync } from 'node:fs';
import { Socket, type OnReadOpts, type SocketConstructorOpts } from 'node:net';
import type { Clock } from '@croft/runtime/clock';
import { systemCode } from '@croft/runtime/errors';
import type { OutputSource } from './command.ts';

/** For output that goes to a disk. */
const defaultRingBytes = 512 * 1024;
const quietMs = 2_000;

/** Is called with one piece at a time, which is its own only until the promise resolves. */
type Store = (piece: Buffer) => Promise<void>;

const nothing: Store = async () => {};

export interface Pump {
  /** Resolves when the pipe has ended and everything was stored; rejects with what `store` threw. */
  readonly done: Promise<void>;
  /**
   * The tree is dead: reads what is left in the pipe and waits for it to be stored. If a process that could not be killed holds the pipe open, it is
   * abandoned after 2 s without a byte to store.
   */
  finish(clock: Clock): Promise<void>;
}

/**
 * Takes over the descriptor. While the ring is full nothing is read and writers wait. A ring that was given is free again when `done` has resolved.
 */
export function pumpPipe(source: OutputSource, given: Store, ring: Buffer = Buffer.allocUnsafeSlow(defaultRingBytes)): Pump {
  let store = given;
  const ringBytes = ring.length;
  const done = Promise.withResolvers<void>();
  let head = 0; // of what is held
  let [held, storing] = [0, 0];
  let closed = false;

  /** Where the next bytes go. When the ring is full nothing is read until the piece being stored has made room: there. */
  const target = (): Buffer => {
    const tail = (head + held) % ringBytes;
    if (held === ringBytes) return ring.subarray(tail, tail + storing);
    return ring.subarray(tail, tail < head ? head : ringBytes);
  };
  const advance = (): void => {
    if (storing > 0) return;
    if (held === 0) return void (closed && finish());
    storing = Math.min(held, ringBytes - head);
    store(ring.subarray(head, head + storing)).then(() => {
      head = (head + storing) % ringBytes;
      held -= storing;
      storing = 0;
      advance();
      socket.resume();
    }, fail);
  };
  const finish = (): void => {
    store = nothing; // V8 keeps a closed handle until its next great collection: not what we were given as well
    done.resolve();
  };
  const fail = (error: unknown): void => {
    done.reject(error);
    socket.destroy();
  };
  const onRead = (bytes: number): boolean => {
    held += bytes;
    advance();
    return held < ringBytes;
  };
  const socket = openSource(source, { buffer: target, callback: onRead });
  socket.on('error', (error) => void (systemCode(error) === 'EIO' || fail(error))); // EIO: nobody has the terminal open any more
  const onEnd = (): void => {
    closed = true;
    advance();
  };
  if (typeof source === 'number') socket.on('end', onEnd); // a turn before it is closed; a terminal has more to give in between
  socket.on('close', onEnd).resume(); // alone when it was destroyed
  return {
    done: done.promise,
    async finish(clock) {
      const mayRead = !closed && !socket.destroyed && held < ringBytes;
      if (mayRead && typeof source === 'number' && readRest(source, target, onRead)) {
        onEnd();
        socket.destroy();
      }
      if (!closed) await abandonWhenQuiet(done.promise, { clock, isQuiet: () => storing === 0, abandon: () => socket.destroy() });
      await done.promise;
    },
  };
}

function openSource(source: OutputSource, onread: OnReadOpts): Socket {
  if (typeof source !== 'number') return source.open(onread);
  const options: SocketConstructorOpts = { fd: source, readable: true, writable: false, onread };
  return new Socket(options);
}

/** Does not wait for the loop to tell what is there already. @returns whether that was all; else there is no room for more, or there may be */
function readRest(fd: number, target: () => Buffer, onRead: (bytes: number) => boolean): boolean {
  try {
    for (;;) {
      const bytes = readSync(fd, target());
      if (bytes === 0 || !onRead(bytes)) return bytes === 0;
    }
  } catch {
    return false; // EAGAIN: somebody still has the pipe open; what else it may be, the stream tells
  }
}

interface Quiet {
  readonly clock: Clock;
  isQuiet(): boolean;
  abandon(): void;
}

async function abandonWhenQuiet(done: Promise<void>, { clock, isQuiet, abandon }: Quiet): Promise<void> {
  const drained = new AbortController();
  const watch = async (): Promise<void> => {
    do await clock.sleep(quietMs, { signal: drained.signal });
    while (!isQuiet());
    abandon();
  };
  const watching = watch().catch(() => {}); // ended by the next line
  await done.finally(() => drained.abort());
  await watching;
}

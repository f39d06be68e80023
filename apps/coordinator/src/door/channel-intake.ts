/**
 * What a client sends on a channel, copied out of its packets as it comes into memory that is its reader's, from which it can be sent on in
 * pieces as long as have come meanwhile. The client may send more only as its reader takes it.
 */
import type { ServerChannel } from 'ssh2';
import { createPourer, type Take } from '@croft/streams/pour';
import { takeIn } from './ssh2-inside.ts';

const roomBytes = 256 * 1024;
/** For keys. */
const smallRoomBytes = 1024;
/** More has probably come with a piece that is as long as this. */
const longBytes = 4 * 1024;

interface Room {
  readonly memory: Buffer;
  filled: number;
  given: number;
}

/**
 * To be called once, by whoever takes what comes: resolves when the client says that there is no more. Nobody else has the memory of the pieces: one room
 * after the other is filled to its end, so whoever is done with them in turn may `release` each.
 * @throws NotTaken, and Error when the channel is closed before
 */
export type Intake = (take: Take) => Promise<void>;

export function openIntake(channel: ServerChannel): Intake {
  const rooms: Room[] = [];
  let flush = (): void => undefined; // nobody takes it yet
  let isWaking = false;
  let end: 'said' | 'closed' | undefined;
  const wake = (): void => {
    isWaking = false;
    flush();
  };
  const over = (how: typeof end): void => {
    end ??= how;
    wake();
  };
  const window = takeIn(channel, (data) => {
    fill(rooms, data);
    if (data.length < longBytes) return wake();
    if (!isWaking) setImmediate(wake);
    isWaking = true;
  });
  channel.once('end', () => over('said')).once('close', () => over('closed'));
  if (channel.destroyed) over('closed');
  channel.resume(); // what comes goes past it, and its end does not
  const next = (): Buffer | undefined => {
    const piece = takeFrom(rooms);
    if (piece) window.widen();
    return piece;
  };
  return (take) => {
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    flush = createPourer({ next, take, reject }, () => {
      if (end === 'said') resolve();
      else if (end === 'closed') reject(new Error('the channel was closed'));
    });
    flush();
    return promise;
  };
}

function fill(rooms: Room[], data: Buffer): void {
  for (let at = 0; at < data.length;) {
    let room = rooms.at(-1);
    if (!room || room.filled === room.memory.length) {
      room = { memory: Buffer.allocUnsafeSlow(data.length < longBytes ? smallRoomBytes : roomBytes), filled: 0, given: 0 };
      rooms.push(room);
    }
    const copied = data.copy(room.memory, room.filled, at);
    room.filled += copied;
    at += copied;
  }
}

/** All that is new in the oldest room; one that is full and given is forgotten. */
function takeFrom(rooms: Room[]): Buffer | undefined {
  const [room] = rooms;
  if (!room || room.given === room.filled) return undefined;
  const piece = room.memory.subarray(room.given, room.filled);
  room.given = room.filled;
  if (room.filled === room.memory.length) rooms.shift();
  return piece;
}

/**
 * What a client sends on a channel, copied out of its packets as it comes into memory that is its reader's, from which it can be sent on in
 * pieces as long as have come meanwhile. The client may send more only as its reader takes it.
 */
import type { ServerChannel } from 'ssh2';
import { createBell } from '@croft/runtime/tasks';
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
 * Until the client says that there is no more; throws when the channel is closed before. To be read once. Nobody else has the memory of the
 * pieces: one room after the other is filled to its end, so whoever is done with them in turn may `release` each.
 */
export function openIntake(channel: ServerChannel): AsyncIterable<Buffer> {
  const rooms: Room[] = [];
  const come = createBell();
  let isWaking = false;
  let end: 'said' | 'closed' | undefined;
  const wake = (): void => {
    isWaking = false;
    come.ring();
  };
  const over = (how: typeof end): void => {
    end ??= how;
    wake();
  };
  const window = takeIn(channel, (data) => {
    pour(data, rooms);
    if (data.length < longBytes) return wake();
    if (!isWaking) setImmediate(wake);
    isWaking = true;
  });
  channel.once('end', () => over('said')).once('close', () => over('closed'));
  if (channel.destroyed) over('closed');
  channel.resume(); // what comes goes past it, and its end does not
  return (async function* pieces() {
    for (;;) {
      const piece = take(rooms);
      if (piece) {
        window.widen();
        yield piece;
      } else if (end === undefined) await come.wait({});
      else if (end === 'said') return;
      else throw new Error('the channel was closed');
    }
  })();
}

function pour(data: Buffer, rooms: Room[]): void {
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
function take(rooms: Room[]): Buffer | undefined {
  const [room] = rooms;
  if (!room || room.given === room.filled) return undefined;
  const piece = room.memory.subarray(room.given, room.filled);
  room.given = room.filled;
  if (room.filled === room.memory.length) rooms.shift();
  return piece;
}

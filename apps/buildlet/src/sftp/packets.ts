/** Packets of a connection as they come, of bounded length and without a copy where they come whole. */
import type { Duplex } from 'node:stream';
import { createBell } from '@croft/runtime/tasks';
import { freeWhole } from '@croft/streams/release';

/** With its length before it; what OpenSSH takes, too. */
export const maxPacketBytes = 256 * 1024;
const headBytes = 4;
/** Of what has come while a packet is being answered. */
const maxWaitingBytes = 2 * maxPacketBytes;

/** From the kind on; each is good until the next one is asked for. Ends with the connection, or at a length that no packet has. */
export function packetsOf(socket: Duplex): AsyncGenerator<Buffer, void> {
  return cutIntoPackets(chunksOf(socket));
}

/** As they are read: an iterator of the stream would put those together that have come meanwhile. It is stopped only when many have. */
async function* chunksOf(socket: Duplex): AsyncGenerator<Buffer, void> {
  const come: Buffer[] = [];
  const bell = createBell();
  let waiting = 0;
  const onData = (chunk: Buffer): void => {
    come.push(chunk);
    waiting += chunk.length;
    if (waiting >= maxWaitingBytes) socket.pause();
    bell.ring();
  };
  socket.on('data', onData).on('end', bell.ring).on('close', bell.ring);
  try {
    for (;;) {
      for (let chunk = come.shift(); chunk; chunk = come.shift()) {
        waiting -= chunk.length;
        yield chunk;
      }
      if (socket.readableEnded || socket.destroyed) return;
      if (socket.isPaused()) socket.resume();
      await bell.wait({});
    }
  } finally {
    socket.off('data', onData).off('end', bell.ring).off('close', bell.ring);
  }
}

async function* cutIntoPackets(chunks: AsyncIterable<Buffer>): AsyncGenerator<Buffer, void> {
  const whole = Buffer.allocUnsafeSlow(headBytes + maxPacketBytes); // one that comes in pieces is put together here
  let held = 0; // of it
  const hold = (bytes: Buffer): number => {
    const taken = bytes.copy(whole, held);
    held += taken;
    return taken;
  };
  for await (const chunk of chunks) {
    let rest = chunk;
    if (held > 0 && held < headBytes) rest = rest.subarray(hold(rest.subarray(0, headBytes - held)));
    if (held >= headBytes) {
      const end = headBytes + whole.readUInt32BE(0);
      if (!isPacket(end)) return;
      rest = rest.subarray(hold(rest.subarray(0, end - held)));
      if (held === end) {
        yield whole.subarray(headBytes, end);
        held = 0;
      }
    }
    while (held === 0 && rest.length >= headBytes) {
      const end = headBytes + rest.readUInt32BE(0);
      if (!isPacket(end)) return;
      if (rest.length < end) break;
      yield rest.subarray(headBytes, end);
      rest = rest.subarray(end);
    }
    hold(rest);
    freeWhole(chunk); // the collector would be busier with these than we are with all else
  }
}

function isPacket(end: number): boolean {
  return end > headBytes && end <= headBytes + maxPacketBytes;
}

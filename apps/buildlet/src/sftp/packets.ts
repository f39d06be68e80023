/** Packets of a connection as they come, of bounded length and without a copy where they come whole. */
import type { Duplex } from 'node:stream';

/** With its length before it; what OpenSSH takes, too. */
export const maxPacketBytes = 256 * 1024;
const headBytes = 4;

/** From the kind on; each is good until the next one is asked for. Ends with the connection, or at a length that no packet has. */
export async function* packetsOf(socket: Duplex): AsyncGenerator<Buffer, void> {
  try {
    yield* cutIntoPackets(socket.iterator({ destroyOnReturn: false }) as AsyncIterable<Buffer>);
  } catch {
    // It is lost.
  }
}

async function* cutIntoPackets(chunks: AsyncIterable<Buffer>): AsyncGenerator<Buffer, void> {
  let whole: Buffer | undefined; // one that comes in pieces is put together here
  let held: Buffer = Buffer.alloc(0);
  for await (const chunk of chunks) {
    let rest = chunk;
    if (held.length > 0) {
      whole ??= Buffer.allocUnsafeSlow(headBytes + maxPacketBytes);
      if (held.buffer !== whole.buffer) held = whole.subarray(0, held.copy(whole));
      const missing = held.length < headBytes ? headBytes - held.length : 0;
      if (missing > 0) {
        const taken = chunk.copy(whole, held.length, 0, missing);
        held = whole.subarray(0, held.length + taken);
        rest = rest.subarray(taken);
        if (held.length < headBytes) continue;
      }
      const end = headBytes + held.readUInt32BE(0);
      if (!isPacket(end)) return;
      const taken = rest.copy(whole, held.length, 0, end - held.length);
      held = whole.subarray(0, held.length + taken);
      rest = rest.subarray(taken);
      if (held.length < end) continue;
      yield held.subarray(headBytes);
      held = held.subarray(0, 0);
    }
    while (rest.length >= headBytes) {
      const end = headBytes + rest.readUInt32BE(0);
      if (!isPacket(end)) return;
      if (rest.length < end) break;
      yield rest.subarray(headBytes, end);
      rest = rest.subarray(end);
    }
    held = rest;
  }
}

function isPacket(end: number): boolean {
  return end > headBytes && end <= headBytes + maxPacketBytes;
}

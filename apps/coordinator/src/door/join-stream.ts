/** Joins a channel and a raw stream of the machine, both ways, each as fast as the other side takes it. */
import { once } from 'node:events';
import { Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import { pour } from '@croft/streams/gather';
import { dropRead, release } from '@croft/streams/release';
import type { DoorChannel } from './door-channel.ts';

const ok = 0;
const failed = 1;

/**
 * Until both ways have ended or one is cut.
 * @param onEnd what the end of the machine's way is: the end of all (`close`), or of that way alone (`half`)
 */
export async function joinStream(channel: DoorChannel, stream: Duplex, onEnd: 'close' | 'half'): Promise<void> {
  const cut = (): void => void setImmediate(() => stream.destroy()); // what came with the end is still given on
  stream.on('error', () => undefined); // its reader is told
  channel.closed.addEventListener('abort', cut, { once: true });
  if (channel.closed.aborted) cut();
  const sending = sendAll(channel, stream);
  let code = failed;
  try {
    const free = stream instanceof Socket ? dropRead : undefined; // where it is whole nobody else reads it
    await pour(stream, channel.write, { free, destroys: false });
    code = ok;
    if (onEnd === 'half') {
      channel.finish();
      await sending;
    }
  } catch {
    // cut by one side: the end tells the other
  } finally {
    channel.end({ code });
    stream.destroy();
    channel.closed.removeEventListener('abort', cut);
    await sending;
  }
}

async function sendAll(channel: DoorChannel, stream: Duplex): Promise<void> {
  const closed = new AbortController();
  stream.once('close', () => closed.abort());
  try {
    await channel.pour((piece) => {
      if (stream.destroyed || stream.write(piece, (error) => !error && stream instanceof Socket && release(piece))) return undefined;
      return once(stream, 'drain', { signal: closed.signal });
    });
    stream.end();
  } catch {
    stream.destroy();
  }
}

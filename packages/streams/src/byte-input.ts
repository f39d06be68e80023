/** Bytes pulled from an async source: by exact count or as they come, with put-back. Every wait ends when the signal is aborted. */
import type { Waits } from '@croft/runtime/clock';
import { CroftError } from '@croft/runtime/errors';

export interface ByteInput {
  /** Bytes handed over by the source so far. */
  readonly received: number;
  /** What is at hand, else the next chunk; undefined at the end. */
  some(waits: Waits): Promise<Buffer | undefined>;
  /** @throws CroftError `invalid` `unexpected EOF` when the source ends before. */
  exactly(count: number, waits: Waits): Promise<Buffer>;
  unread(rest: Buffer): void;
  atEnd(waits: Waits): Promise<boolean>;
}

/** The source is never closed from here, so that a server can still answer on the connection it comes from. */
export function openByteInput(source: AsyncIterable<Uint8Array>): ByteInput {
  const iterator = source[Symbol.asyncIterator]();
  let rest: Buffer | undefined;
  let received = 0;
  const some = async (waits: Waits): Promise<Buffer | undefined> => {
    for (;;) {
      const chunk = rest ?? (await pull(waits));
      rest = undefined;
      if (!chunk || chunk.length > 0) return chunk;
    }
  };
  const pull = async ({ signal }: Waits): Promise<Buffer | undefined> => {
    const result = await abortable(iterator.next(), signal);
    if (result.done) return undefined;
    received += result.value.length;
    return Buffer.from(result.value.buffer, result.value.byteOffset, result.value.byteLength);
  };
  const unread = (bytes: Buffer): void => {
    if (bytes.length > 0) rest = rest ? Buffer.concat([bytes, rest]) : bytes;
  };
  return {
    get received() {
      return received;
    },
    some,
    unread,
    async exactly(count, waits) {
      const pieces: Buffer[] = [];
      for (let missing = count; missing > 0;) {
        const chunk = await some(waits);
        if (!chunk) throw new CroftError('invalid', 'unexpected EOF');
        pieces.push(chunk.subarray(0, missing));
        unread(chunk.subarray(missing));
        missing -= Math.min(missing, chunk.length);
      }
      return pieces.length === 1 && pieces[0] ? pieces[0] : Buffer.concat(pieces);
    },
    async atEnd(waits) {
      const chunk = await some(waits);
      if (chunk) unread(chunk);
      return !chunk;
    },
  };
}

function abortable<T>(promise: Promise<T>, signal: AbortSignal | undefined): Promise<T> {
  if (!signal) return promise;
  const aborted = Promise.withResolvers<never>();
  const onAbort = (): void => aborted.reject(signal.reason);
  if (signal.aborted) onAbort();
  signal.addEventListener('abort', onAbort, { once: true });
  return Promise.race([promise, aborted.promise]).finally(() => signal.removeEventListener('abort', onAbort));
}

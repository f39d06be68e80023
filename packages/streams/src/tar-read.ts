/** The entries of a tar.gz one after the other, each with its content as it comes: for whoever keeps files elsewhere than in a tree. */
import type { Waits } from '@croft/runtime/clock';
import { CroftError } from '@croft/runtime/errors';
import { openByteInput } from './byte-input.ts';
import { gunzip } from './gunzip.ts';
import type { TarHeader } from './tar-header.ts';
import { TarParser } from './tar-parser.ts';

export interface ReadEntry {
  readonly header: TarHeader;
  /** Whatever of it is not read is passed over. */
  readonly content: AsyncIterable<Buffer>;
}

export interface ReadLimits extends Waits {
  /** Of the archive after decompression, and entries in it. */
  readonly maxBytes: number;
  readonly maxEntries: number;
}

type Event =
  | { readonly kind: 'entry'; readonly header: TarHeader }
  | { readonly kind: 'content'; readonly piece: Buffer }
  | { readonly kind: 'end' };

/**
 * The source is read to its end, and what it holds behind the archive as well; it is closed however the reading ends.
 * @throws CroftError `invalid` for a bad or cut archive, `exhausted` beyond a limit; what the source throws
 */
export async function* readTarGz(source: AsyncIterable<Uint8Array>, limits: ReadLimits): AsyncGenerator<ReadEntry, void> {
  const pieces = source[Symbol.asyncIterator]();
  const events = readEvents({ [Symbol.asyncIterator]: () => pieces }, limits);
  let count = 0;
  try {
    for (let next = await events.next(); !next.done; next = await events.next()) {
      if (next.value.kind !== 'entry') continue;
      count += 1;
      if (count > limits.maxEntries) throw new CroftError('exhausted', `the archive has more than ${limits.maxEntries} entries`);
      yield { header: next.value.header, content: contentOf(events) };
    }
  } finally {
    await events.return();
    await pieces.return?.();
  }
}

/** Ends with its entry and leaves the events to go on with the next; whoever stops before leaves the rest of it to be passed over. */
function contentOf(events: AsyncGenerator<Event, void>): AsyncIterable<Buffer> {
  const next = async (): Promise<IteratorResult<Buffer, undefined>> => {
    const { done, value } = await events.next();
    return done || value.kind !== 'content' ? { done: true, value: undefined } : { done: false, value: value.piece };
  };
  return { [Symbol.asyncIterator]: () => ({ next }) };
}

async function* readEvents(source: AsyncIterable<Uint8Array>, { signal, maxBytes }: ReadLimits): AsyncGenerator<Event, void> {
  const queue: Event[] = [];
  const parser = new TarParser({
    entry: (header) => void queue.push({ kind: 'entry', header }),
    content: (piece) => void queue.push({ kind: 'content', piece }),
    entryEnd: () => void queue.push({ kind: 'end' }),
  });
  let bytes = 0;
  for await (const chunk of await gunzip(openByteInput(source), { signal })) {
    bytes += chunk.length;
    if (bytes > maxBytes) throw new CroftError('exhausted', `the archive is larger than ${maxBytes} bytes when decompressed`);
    parser.push(chunk);
    yield* queue.splice(0);
  }
  parser.end();
  if (!parser.ended) throw new CroftError('invalid', 'tar error: unexpected EOF');
}

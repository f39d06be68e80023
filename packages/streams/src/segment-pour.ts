/** Follows a log that grows: from its files until it has caught up, and then from memory, with nothing that is made anew by each piece. */
import type { Waits } from '@croft/runtime/clock';
import { CroftError } from '@croft/runtime/errors';
import { createPourer, taken, type Take } from './pour.ts';
import type { SegmentCursor } from './segment-cursor.ts';

export type LogEnd = 'open' | 'finished' | 'closed';

export interface Growing {
  /** Where the reader is. */
  readonly cursor: SegmentCursor;
  length(): number;
  end(): LogEnd;
  /** @see Recent.from */
  recent(at: number): Buffer | undefined;
  /** Each is called whenever one of the others may answer otherwise. */
  readonly followers: Set<() => void>;
}

/** Resolves when the log is finished and all was taken. @throws NotTaken, the signal's reason, CroftError as `SegmentLog.follow` */
export async function pourGrowing({ cursor, length, end, recent, followers }: Growing, take: Take, { signal }: Waits): Promise<void> {
  signal?.throwIfAborted();
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  let isReading = false;
  let isOver = false;
  const fail = (error: unknown): void => {
    isOver = true;
    reject(error);
  };
  const next = (): Buffer | undefined => {
    const piece = isOver ? undefined : recent(cursor.at);
    cursor.at += piece?.length ?? 0;
    return piece;
  };
  const readFile = async (): Promise<void> => {
    while (!isOver && cursor.at < length()) await taken(await cursor.next(length()), take);
    isReading = false;
    flush();
  };
  const flush = createPourer({ next, take, reject: fail }, () => {
    if (isOver) return;
    if (cursor.at > length()) fail(new CroftError('conflict', `follow the log: it was cut before byte ${cursor.at}`));
    else if (cursor.at < length()) {
      isReading = true;
      readFile().catch(fail);
    } else if (end() === 'finished') resolve();
    else if (end() === 'closed') fail(new CroftError('stopped', 'follow the log: it was closed'));
  });
  const wake = (): void => {
    if (!isReading) flush();
  };
  const onAbort = (): void => fail(signal?.reason);
  signal?.addEventListener('abort', onAbort, { once: true });
  followers.add(wake);
  try {
    flush();
    await promise;
  } finally {
    followers.delete(wake);
    signal?.removeEventListener('abort', onAbort);
  }
}

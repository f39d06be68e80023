/** A run that has ended, or reads for ever, on a machine whose line fails step by step as a test says. */
import type { Buildlet, Feed, InputPart, StreamWaits } from '@croft/buildlet/client';
import type { RunId } from '@croft/domain/names';
import type { Run } from '@croft/protocol/runs';
import type { Clock, Waits } from '@croft/runtime/clock';
import { CroftError } from '@croft/runtime/errors';
import { createBell } from '@croft/runtime/tasks';
import { seededRandom } from '@croft/runtime/testing';
import type { Take } from '@croft/streams/pour';
import type { RunPlace } from './run-place.ts';

/** What becomes of one step: done and told, not done, done without an answer, or nothing until who asked has gone. */
export type Fate = 'whole' | 'lost' | 'unanswered' | 'silent';

export interface FakeRun extends RunPlace {
  /** What it was given to read. */
  readonly typed: () => string;
  readonly isInputOver: () => boolean;
  /** Bytes of its output that are not there any more. */
  readonly letGo: () => number;
  /** Every step that was asked for. */
  readonly asked: readonly string[];
}

export interface FakeRunOptions {
  readonly writes?: string;
  /** It was collected, or never started. */
  readonly isUnknown?: boolean;
  /** One after the other; each of those that follow is `last`. */
  readonly fates?: readonly Fate[];
  readonly last?: Fate;
}

const pieceBytes = 3;
/** Nothing is waited for but what the test does. */
const clock: Clock = {
  now: () => 0,
  monotonic: () => 0,
  async sleep(_ms, { signal } = {}) {
    await new Promise((resolve) => setImmediate(resolve));
    signal?.throwIfAborted();
  },
  deadline: () => new AbortController().signal,
};

export function fakeRun({ writes = '', isUnknown = false, fates = [], last = 'whole' }: FakeRunOptions = {}): FakeRun {
  const left = [...fates];
  const asked: string[] = [];
  let taken = Buffer.alloc(0);
  let isInputOver = false;
  let letGo = 0;
  const step = async <T>(what: string, { signal }: Waits, act: () => T): Promise<T> => {
    asked.push(what);
    await Promise.resolve();
    signal?.throwIfAborted();
    const fate = left.shift() ?? last;
    if (fate === 'silent') return new Promise((_, reject) => signal?.addEventListener('abort', () => reject(signal.reason as Error)));
    if (fate === 'lost') throw new CroftError('unavailable', 'the line is cut');
    const answer = act();
    if (fate === 'unanswered') throw new CroftError('unavailable', 'the line was cut');
    return answer;
  };
  const buildlet = {
    async pourOutput(_id: RunId, from: number, take: Take, waits: StreamWaits) {
      await step(`output from ${from}${waits.stream ? ` of ${waits.stream}` : ''}`, waits, () => {
        if (isUnknown || from < letGo) throw new CroftError('not-found', 'it is not there');
      });
      for (let at = from; at < writes.length; at += pieceBytes) {
        await take(Buffer.from(writes.slice(at, at + pieceBytes)));
        await step('more', waits, () => undefined);
      }
    },
    run: (_id: RunId, waits: Waits) => step('run', waits, (): Run | 'unknown' => (isUnknown ? 'unknown' : endedRun(writes.length, letGo))),
    ack: (_id: RunId, to: number, _epoch: number, waits: Waits) => step('ack', waits, () => void (letGo = Math.max(letGo, to))),
    writeStdin: async (_id: RunId, { from, content, end = false }: InputPart, _epoch: number, waits: Waits): Promise<number> => {
      await step('input', waits, () => {
        if (isInputOver) throw new CroftError('conflict', 'it takes no more');
        if (from > taken.length) throw new CroftError('invalid', 'a gap');
      });
      let at = from;
      for await (const piece of content instanceof Uint8Array ? [content] : piecesOf(content)) {
        await step('piece', waits, () => (taken = Buffer.concat([taken, piece.subarray(Math.max(0, taken.length - at))])));
        at += piece.length;
      }
      return step('end of input', waits, () => {
        isInputOver = end;
        return taken.length;
      });
    },
  };
  return {
    buildlet: buildlet as unknown as Buildlet,
    epoch: 1,
    id: 'S00000000000000a1.r-1' as RunId,
    clock,
    random: seededRandom(1),
    typed: () => taken.toString(),
    isInputOver: () => isInputOver,
    letGo: () => letGo,
    asked,
  };
}

/** One after the other, as they come. */
async function* piecesOf(feed: Feed): AsyncGenerator<Uint8Array> {
  const news = createBell();
  feed.listen(news.ring);
  for (let fresh = feed.next(); fresh; fresh = feed.next()) {
    yield* fresh;
    if (fresh.length === 0) await news.wait({});
  }
  feed.sent();
}

function endedRun(length: number, from: number): Run {
  const exit = { kind: 'exited', code: 3 } as const;
  return {
    id: 'S00000000000000a1.r-1',
    state: 'ended',
    startedAt: 1,
    endedAt: 2,
    exit,
    output: { length, from },
    stderr: { length, from },
  };
}

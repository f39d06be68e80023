/**
 * Bytes that are held to be given once more, should the line be lost. What lies one after the other in memory is one stretch, so that a thousand
 * keys are not a thousand objects that V8 moves about while everybody's keys wait.
 */
import { release } from '@croft/streams/release';

export interface Backlog {
  /** Held as they are, not copied. */
  add(bytes: Uint8Array): void;
  /** From the beginning: each call gives what was added since the one before, in few pieces. */
  reader(): () => Uint8Array[];
  /** Of memory that is nobody else's and comes piece after piece. @see release */
  release(): void;
}

interface Stretch {
  readonly memory: ArrayBufferLike;
  readonly begin: number;
  end: number;
}

export function createBacklog(): Backlog {
  const stretches: Stretch[] = [];
  return {
    add({ buffer, byteOffset, byteLength }) {
      const last = stretches.at(-1);
      const end = byteOffset + byteLength;
      if (last?.memory === buffer && last.end === byteOffset) last.end = end;
      else if (byteLength > 0) stretches.push({ memory: buffer, begin: byteOffset, end });
    },
    reader() {
      let index = 0;
      let given: number | undefined; // up to where, of the stretch at `index`
      return () => {
        const fresh: Uint8Array[] = [];
        for (; index < stretches.length; index += 1, given = undefined) {
          const { memory, begin, end } = stretches[index] as Stretch;
          const from = given ?? begin;
          if (end > from) fresh.push(new Uint8Array(memory, from, end - from));
          given = end;
          if (index === stretches.length - 1) break; // it may grow
        }
        return fresh;
      };
    },
    release() {
      for (const { memory, begin, end } of stretches) release(new Uint8Array(memory, begin, end - begin));
    },
  };
}

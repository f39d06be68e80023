/** The end of a log that is also in memory: keys and lines, which their reader would wait for if they had to come from a file. */

/** What is longer is worth reading, and what comes later begins a new stretch: nobody overwrites what a reader still has. */
const stretchBytes = 4 * 1024;

export interface Recent {
  /** What was appended at this offset, copied. */
  add(chunk: Uint8Array, at: number): void;
  /** All from this offset on; undefined when it is not held, or there is nothing. Stays as it is. */
  from(at: number): Buffer | undefined;
  forget(): void;
}

export function createRecent(): Recent {
  let stretch: Buffer | undefined;
  let [begin, held] = [0, 0];
  const forget = (): void => {
    stretch = undefined;
    held = 0;
  };
  return {
    add(chunk, at) {
      if (chunk.length > stretchBytes) return forget();
      if (!stretch || at !== begin + held || held + chunk.length > stretchBytes) {
        stretch = Buffer.allocUnsafeSlow(stretchBytes);
        [begin, held] = [at, 0];
      }
      stretch.set(chunk, held);
      held += chunk.length;
    },
    from: (at) => (stretch && at >= begin && at < begin + held ? stretch.subarray(at - begin, held) : undefined),
    forget,
  };
}

/** Chance as an argument: ids, secrets and jitter come from a `Random`, so that a test can repeat a run from its seed. */
import { randomBytes } from 'node:crypto';

export interface Random {
  /** A number in [0, 1). */
  fraction(): number;
  /** `bytes` unpredictable bytes as lower-case hex. */
  hex(bytes: number): string;
}

export const systemRandom: Random = {
  fraction: () => Math.random(),
  hex: (bytes) => randomBytes(bytes).toString('hex'),
};

/** Full-jitter back-off: a delay between 0 and `min(maxMs, minMs * 2^tries)`, never below `minMs / 4`, ms. */
export function backoffMs(tries: number, random: Random, { minMs = 200, maxMs = 5_000 } = {}): number {
  const ceiling = Math.min(maxMs, minMs * 2 ** Math.min(tries, 30));
  return Math.max(minMs / 4, random.fraction() * ceiling);
}

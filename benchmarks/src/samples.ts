/** Order statistics of samples. Timings have long tails on one side, so there is no mean and no deviation here. */

/** NaN when there are none. */
export function median(samples: readonly number[]): number {
  return quantile(samples, 0.5);
}

/** The value that nine of ten samples reach: the 90th percentile where low is good, the 10th where high is. */
export function reachedByNinety(samples: readonly number[], lowIsGood: boolean): number {
  return quantile(samples, lowIsGood ? 0.9 : 0.1);
}

/** Between two samples it is interpolated. */
export function quantile(samples: readonly number[], share: number): number {
  const sorted = samples.toSorted((a, b) => a - b);
  const place = (sorted.length - 1) * share;
  const below = sorted[Math.floor(place)] ?? NaN;
  const above = sorted[Math.ceil(place)] ?? NaN;
  return below + (above - below) * (place - Math.floor(place));
}

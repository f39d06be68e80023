/** What a row of the benchmarks is: a name, what it measures, and a function that yields samples, never a verdict. */
import type { Clock } from '@croft/runtime/clock';

export interface Row {
  readonly name: string;
  /** One sentence. */
  readonly about: string;
  run(bench: Bench): Promise<readonly Measurement[]>;
}

export interface Bench {
  /** Fresh and empty; removed behind the row, however that ends. */
  readonly dir: string;
  /** Aborted when the run is broken off; every wait and every process of a row ends with it. */
  readonly signal: AbortSignal;
  readonly clock: Clock;
  /** Where the coordinator leaves a CPU profile when it ends; undefined when nobody asked for one. */
  readonly profileDir: string | undefined;
  /** Tells the person at the terminal what is being done. */
  progress(text: string): void;
}

export type Unit = 'ms' | '/s' | 'MB/s' | 'MB';

export interface Measurement {
  readonly what: string;
  readonly unit: Unit;
  readonly samples: readonly number[];
  /** What the median should reach: at most for `ms` and `MB`, at least for rates. */
  readonly goal?: number;
  /** The same job done in another way, in the same run. */
  readonly peer?: { readonly what: string; readonly samples: readonly number[] };
}

export function lowIsGood(unit: Unit): boolean {
  return unit === 'ms' || unit === 'MB';
}

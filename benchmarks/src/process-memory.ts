/** How much memory a process uses up: its own pages and its share of those it has in common with others (PSS), where Linux tells it. */
import { readFile } from 'node:fs/promises';
import type { Clock } from '@croft/runtime/clock';

export const memoryIsKnown = process.platform === 'linux';

/** In MB (10^6 bytes). @throws when the process is gone */
export async function pssMB(pid: number): Promise<number> {
  const text = await readFile(`/proc/${pid}/smaps_rollup`, 'utf8');
  return (Number(/^Pss:\s+(\d+) kB$/m.exec(text)?.[1]) * 1024) / 1e6;
}

/** The largest of what was seen, looking every 200 ms, until the watch is disposed. */
export function watchPeak(pid: number, clock: Clock): AsyncDisposable & { readonly peakMB: number } {
  const ending = new AbortController();
  let peakMB = 0;
  const watch = async (): Promise<void> => {
    for (;;) {
      peakMB = Math.max(peakMB, await pssMB(pid));
      await clock.sleep(200, { signal: ending.signal });
    }
  };
  const watching = memoryIsKnown ? watch().catch(() => undefined) : Promise.resolve();
  return {
    get peakMB() {
      return peakMB;
    },
    async [Symbol.asyncDispose]() {
      ending.abort();
      await watching;
    },
  };
}

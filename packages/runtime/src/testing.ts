/** Time and chance that tests hold in their hands, and a port for what they start. */
import { once } from 'node:events';
import { createServer, type AddressInfo } from 'node:net';
import { setImmediate as nextTurn } from 'node:timers/promises';
import type { Clock } from './clock.ts';
import type { Random } from './random.ts';

interface Timer {
  readonly at: number;
  fire(): void;
}

/** A clock that stands still until `advance` is called. Timers fire in order, each followed by a turn of the event loop. */
export class FakeClock implements Clock {
  #now: number;
  readonly #start: number;
  #timers: Timer[] = [];

  constructor(now = Date.UTC(2026, 0, 1)) {
    this.#now = now;
    this.#start = now;
  }

  now(): number {
    return this.#now;
  }

  monotonic(): number {
    return this.#now - this.#start;
  }

  sleep(ms: number, { signal }: { signal?: AbortSignal | undefined } = {}): Promise<void> {
    if (signal?.aborted) return Promise.reject(signal.reason);
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    const timer = { at: this.#now + ms, fire: resolve };
    this.#timers.push(timer);
    const onAbort = (): void => {
      this.#timers = this.#timers.filter((other) => other !== timer);
      reject(signal?.reason);
    };
    signal?.addEventListener('abort', onAbort, { once: true });
    return promise.finally(() => signal?.removeEventListener('abort', onAbort));
  }

  deadline(ms: number): AbortSignal {
    const controller = new AbortController();
    this.#timers.push({ at: this.#now + ms, fire: () => controller.abort(new DOMException('deadline', 'TimeoutError')) });
    return controller.signal;
  }

  /** How many sleeps and deadlines are pending. */
  get pending(): number {
    return this.#timers.length;
  }

  async advance(ms: number): Promise<void> {
    const end = this.#now + ms;
    for (;;) {
      await nextTurn();
      const due = this.#timers.filter((timer) => timer.at <= end).toSorted((a, b) => a.at - b.at)[0];
      if (!due) break;
      this.#timers = this.#timers.filter((timer) => timer !== due);
      this.#now = Math.max(this.#now, due.at);
      due.fire();
    }
    this.#now = end;
    await nextTurn();
  }
}

/** Repeatable chance from a seed (a 32-bit mix of a counter). */
export function seededRandom(seed: number): Random {
  let state = seed >>> 0;
  const next = (): number => {
    state = (state + 0x9e3779b9) >>> 0;
    let mixed = state;
    mixed = Math.imul(mixed ^ (mixed >>> 16), 0x85ebca6b);
    mixed = Math.imul(mixed ^ (mixed >>> 13), 0xc2b2ae35);
    return (mixed ^ (mixed >>> 16)) >>> 0;
  };
  return {
    fraction: () => next() / 2 ** 32,
    hex: (bytes) => Array.from({ length: bytes }, () => (next() & 0xff).toString(16).padStart(2, '0')).join(''),
  };
}

/** Of loopback; free a moment ago. */
export async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  server.close();
  await once(server, 'close');
  return port;
}

/** Where machines that dial in are received: finds the pool for their host type, and what a picked-up connection belongs to. */
import type { Duplex } from 'node:stream';
import type { Clock } from '@croft/runtime/clock';
import type { Log } from '@croft/runtime/log';
import type { Random } from '@croft/runtime/random';
import { createDialers, type PickUp } from '@croft/streams/revdial-dialer';
import type { Arrival } from './reverse-machine.ts';
import { openReversePool, type ReversePool, type ReversePoolOptions } from './reverse-pool.ts';

export type { Arrival } from './reverse-machine.ts';

export interface ReverseDesk extends AsyncDisposable {
  /** Belongs to the caller. */
  open(options: ReversePoolOptions): ReversePool;
  /** Why this machine is not let in, if so. */
  refuse(arrival: Arrival): string | undefined;
  /** Takes over its control line, on which 101 was answered; ends it when it is not let in any more. */
  receive(arrival: Arrival, control: Duplex): void;
  /** What a request for `/revdial` with this query is to be given; undefined when it names no line. */
  claim(query: URLSearchParams): PickUp | undefined;
}

export interface DeskDeps {
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
}

export const pickUpPath = '/revdial';

export function createReverseDesk(deps: DeskDeps): ReverseDesk {
  const dialers = createDialers({ ...deps, path: pickUpPath });
  const pools = new Set<ReversePool>();
  let closed = false;
  const poolFor = (hostType: string): ReversePool | undefined => [...pools].find((pool) => pool.hostType === hostType);
  return {
    open(options) {
      const pool = openReversePool(options, { ...deps, dialers });
      pools.add(pool);
      return pool;
    },
    refuse(arrival) {
      if (closed) return 'the coordinator is stopping';
      const pool = poolFor(arrival.hostType);
      return pool ? pool.refuse(arrival) : `no pool of this farm takes machines of the host type "${arrival.hostType}" that dial in`;
    },
    receive(arrival, control) {
      const pool = closed ? undefined : poolFor(arrival.hostType);
      if (pool) pool.receive(arrival, control);
      else control.destroy();
    },
    claim: (query) => dialers.claim(query),
    async [Symbol.asyncDispose]() {
      closed = true;
      await dialers[Symbol.asyncDispose]();
    },
  };
}

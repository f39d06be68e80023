/**
 * Who holds a machine. Each acquisition and each take-over gives a higher epoch of that machine; whoever writes shows the
 * epoch, and store and buildlet refuse an older one. Liveness is judged in monotonic time since this process could first ask.
 */
import { CroftError } from '@croft/runtime/errors';
import { MINUTE, SECOND } from '@croft/runtime/clock';
import type { LeaseId, MachineId } from './names.ts';

/** DESIGN's one set of numbers, ms. */
export const liveness = {
  pingMs: 5 * SECOND,
  lostMs: 15 * SECOND,
  /** After a coordinator's start nothing is declared lost for this long. */
  graceMs: 30 * SECOND,
  reassignedMs: 30 * SECOND,
  /** A buildlet that has heard from no coordinator for this long ends its commands and itself. */
  orphanedMs: 30 * MINUTE,
} as const;

export interface LeaseHolder {
  readonly kind: 'attempt' | 'session';
  /** `BUILD.ATTEMPT`, or the session's id. */
  readonly id: string;
}

export type LeaseState =
  | { readonly kind: 'held'; readonly epoch: number; readonly acquiredAt: number }
  | {
      readonly kind: 'ended';
      readonly epoch: number;
      readonly acquiredAt: number;
      readonly endedAt: number;
      readonly how: 'released' | 'lost';
    };

export interface Lease {
  readonly id: LeaseId;
  readonly machine: MachineId;
  readonly holder: LeaseHolder;
  readonly state: LeaseState;
}

export type LeaseEvent =
  /** `epoch`: the machine's next epoch. */
  | { readonly kind: 'taken-over'; readonly epoch: number }
  | { readonly kind: 'released'; readonly epoch: number; readonly at: number }
  | { readonly kind: 'lost'; readonly at: number };

/** @throws CroftError `stale` for a holder with an older epoch, `conflict` for an ended lease. */
export function advanceLease(state: LeaseState, event: LeaseEvent): LeaseState {
  if (state.kind === 'ended') throw new CroftError('conflict', `the lease was ${state.how} already`);
  switch (event.kind) {
    case 'taken-over':
      if (event.epoch <= state.epoch) throw staleEpoch(event.epoch, state.epoch);
      return { ...state, epoch: event.epoch };
    case 'released':
      if (event.epoch !== state.epoch) throw staleEpoch(event.epoch, state.epoch);
      return { ...state, kind: 'ended', endedAt: event.at, how: 'released' };
    case 'lost':
      return { ...state, kind: 'ended', endedAt: event.at, how: 'lost' };
    default:
      return event satisfies never;
  }
}

export function staleEpoch(shown: number, current: number): CroftError {
  return new CroftError('stale', `lease epoch ${shown} is stale; the machine is at epoch ${current}`, {
    hint: 'Another holder has taken over this machine; this one must stop.',
  });
}

export interface Heard {
  /** Monotonic ms of the last answer; undefined if there was none since this process started. */
  readonly lastAt: number | undefined;
  /** Monotonic ms at which this process began to ask. */
  readonly askingSince: number;
}

/** Whether silence has lasted so long that the machine counts as lost. */
export function isLost({ lastAt, askingSince }: Heard, now: number): boolean {
  return now - askingSince >= liveness.graceMs && now - (lastAt ?? askingSince) >= liveness.lostMs;
}

/** Machines of one pool that are to come back after this process began. */
export interface Returning {
  /** That the pool knew then. */
  readonly machines: number;
  /** Since then, ms. */
  readonly elapsedMs: number;
  /** Since one of them came last, or since then, ms. */
  readonly quietMs: number;
}

/** Of 50 machines in a second, each. */
const returnMs = 20;
const longestReturnMs = 3 * MINUTE;

/** Many machines cannot all come back within `graceMs`: none that has not is lost before its share of time, while others still come. */
export function areReturning({ machines, elapsedMs, quietMs }: Returning): boolean {
  return elapsedMs < Math.min(machines * returnMs, longestReturnMs) && quietMs < liveness.lostMs;
}

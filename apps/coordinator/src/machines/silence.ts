/** How silence is counted: only as far as this process was there to hear, and for many machines with time to come back after a start. */
import { areReturning, liveness } from '@croft/domain/lease';
import type { MachineId } from '@croft/domain/names';
import type { Observed } from '@croft/fleet/pool';

/** From one look to the next: the ping, and as much again for an answer that does not come, ms. */
const longestLookMs = 2 * liveness.pingMs;

/** A process that stood still (stopped, swapped out, its computer asleep) has heard nobody, and nobody is lost by that. */
export function heardOut(sinceLastLookMs: number): number {
  return Math.min(sinceLastLookMs, longestLookMs);
}

/** It is there, though it has not told how it is: its silence begins anew. */
export function hasDialledIn(before: Observed, now: Observed): boolean {
  return now.line !== undefined && now.line.since !== before.line?.since;
}

/** The machines of one pool that were not there at the first look. */
export interface Return {
  /** @param now monotonic ms */
  look(observed: readonly Observed[], now: number): void;
  /** Whether this one may still be on its way. */
  awaits(machine: MachineId): boolean;
}

export function createReturn(): Return {
  const awaited = new Set<MachineId>();
  let state: { machines: number; elapsedMs: number; quietMs: number; lookedAt: number } | undefined;
  return {
    look(observed, now) {
      if (!state) {
        state = { machines: observed.length, elapsedMs: 0, quietMs: 0, lookedAt: now };
        for (const { id } of observed) awaited.add(id);
      }
      const before = awaited.size;
      if (before === 0) return;
      for (const { id, state: is, line } of observed) if (is === 'up' || line) awaited.delete(id);
      const passedMs = heardOut(now - state.lookedAt);
      state.lookedAt = now;
      state.elapsedMs += passedMs;
      state.quietMs = awaited.size < before ? 0 : state.quietMs + passedMs;
      if (!areReturning(state)) awaited.clear();
    },
    awaits: (machine) => awaited.has(machine),
  };
}

/** One try of a build: its steps in order, each `pending -> running -> ended`, and one end. Moves are pure. */
import { CroftError } from '@croft/runtime/errors';
import { canonicalJson } from './canonical-json.ts';
import type { AttemptEnd, Exit, Seen } from './outcome.ts';

export type StepState =
  | { readonly kind: 'pending' }
  /** `logFrom`: where this step's output begins in the attempt's log, bytes. */
  | { readonly kind: 'running'; readonly startedAt: number; readonly logFrom: number }
  | {
      readonly kind: 'ended';
      readonly startedAt: number;
      readonly endedAt: number;
      readonly logFrom: number;
      readonly logTo: number;
      readonly exit: Exit;
      readonly seen?: Seen | undefined;
    };

export type StepEvent =
  | { readonly kind: 'started'; readonly at: number; readonly logFrom: number }
  | { readonly kind: 'ended'; readonly at: number; readonly logTo: number; readonly exit: Exit; readonly seen?: Seen | undefined };

/** @throws CroftError `conflict` when the event does not fit. */
export function advanceStep(state: StepState, event: StepEvent): StepState {
  if (state.kind === 'pending' && event.kind === 'started') return { kind: 'running', startedAt: event.at, logFrom: event.logFrom };
  if (state.kind === 'running' && event.kind === 'ended') {
    const { startedAt, logFrom } = state;
    if (event.logTo < logFrom)
      throw new CroftError('conflict', `a step whose output begins at byte ${logFrom} cannot end at byte ${event.logTo}`);
    const { logTo, exit, seen } = event;
    return { kind: 'ended', startedAt, endedAt: event.at, logFrom, logTo, exit, ...(seen ? { seen } : {}) };
  }
  throw new CroftError('conflict', `a step that is ${state.kind} cannot take "${event.kind}"`);
}

export type AttemptState =
  | { readonly kind: 'running'; readonly startedAt: number }
  | { readonly kind: 'ended'; readonly startedAt: number; readonly endedAt: number; readonly end: AttemptEnd };

/** An attempt ends once; ending it again the same way is no change, another way a conflict. */
export function endAttempt(state: AttemptState, end: AttemptEnd, at: number): AttemptState {
  if (state.kind === 'running') return { kind: 'ended', startedAt: state.startedAt, endedAt: at, end };
  if (canonicalJson(state.end) === canonicalJson(end)) return state;
  throw new CroftError('conflict', `the attempt has already ended: ${state.end.kind}`);
}

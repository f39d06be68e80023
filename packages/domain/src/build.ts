/**
 * A build's life. `queued -> running -> ended`, with `cancelling` between running and ended when somebody cancels; an infra
 * end below the limit and a retry go back to queued; a result from outside ends what does not run here, and so does a
 * configuration that does not want it any more what waits. Attempts are numbered
 * from 1 and numbers are never used again.
 * The diagram is in docs/using/builds.md.
 */
import { CroftError } from '@croft/runtime/errors';
import { SECOND } from '@croft/runtime/clock';
import type { AttemptEnd } from './outcome.ts';

/** Infra attempts in a row after which a build ends with the last one. */
export const maxInfraAttempts = 3;

export type BuildState =
  /** `infra` counts the infra ends since the build was created or retried, but for `farm-stopped`. */
  | { readonly kind: 'queued'; readonly since: number; readonly notBefore: number; readonly attempts: number; readonly infra: number }
  | { readonly kind: 'running'; readonly since: number; readonly attempts: number; readonly infra: number }
  | { readonly kind: 'cancelling'; readonly since: number; readonly attempts: number; readonly by: string; readonly why: string }
  | { readonly kind: 'ended'; readonly since: number; readonly attempts: number; readonly end: AttemptEnd };

export type BuildEvent =
  | { readonly kind: 'assigned'; readonly at: number }
  | { readonly kind: 'attempt-ended'; readonly at: number; readonly attempt: number; readonly end: AttemptEnd }
  /** Somebody outside of this farm built it and tells the end. */
  | { readonly kind: 'reported'; readonly at: number; readonly end: AttemptEnd }
  | { readonly kind: 'cancel'; readonly at: number; readonly by: string; readonly why: string }
  /** The configuration does not want it any more. */
  | { readonly kind: 'skip'; readonly at: number; readonly why: string }
  | { readonly kind: 'retry'; readonly at: number };

export function newBuildState(at: number): BuildState {
  return { kind: 'queued', since: at, notBefore: at, attempts: 0, infra: 0 };
}

/** @throws CroftError `conflict` when the event does not fit the state; nothing has changed then. */
export function advance(state: BuildState, event: BuildEvent): BuildState {
  switch (event.kind) {
    case 'assigned':
      if (state.kind !== 'queued') throw misfit(state, event);
      return { kind: 'running', since: event.at, attempts: state.attempts + 1, infra: state.infra };
    case 'attempt-ended':
      return afterAttempt(state, event);
    case 'reported':
      if (state.kind !== 'queued' && state.kind !== 'ended') throw misfit(state, event);
      return { kind: 'ended', since: event.at, attempts: state.attempts + 1, end: event.end };
    case 'cancel':
      return afterCancel(state, event);
    case 'skip':
      if (state.kind !== 'queued') throw misfit(state, event);
      return { kind: 'ended', since: event.at, attempts: state.attempts, end: { kind: 'skipped', why: event.why } };
    case 'retry':
      if (state.kind !== 'ended') throw misfit(state, event);
      return { kind: 'queued', since: event.at, notBefore: event.at, attempts: state.attempts, infra: 0 };
    default:
      return event satisfies never;
  }
}

function afterAttempt(state: BuildState, event: BuildEvent & { kind: 'attempt-ended' }): BuildState {
  if ((state.kind !== 'running' && state.kind !== 'cancelling') || state.attempts !== event.attempt) throw misfit(state, event);
  const { at, end } = event;
  if (state.kind === 'cancelling') {
    const kept: AttemptEnd = end.kind === 'infra' ? { kind: 'cancelled', by: state.by, why: state.why } : end;
    return { kind: 'ended', since: at, attempts: state.attempts, end: kept };
  }
  if (end.kind !== 'infra') return { kind: 'ended', since: at, attempts: state.attempts, end };
  const infra = end.cause === 'farm-stopped' ? state.infra : state.infra + 1;
  if (infra >= maxInfraAttempts) return { kind: 'ended', since: at, attempts: state.attempts, end };
  return { kind: 'queued', since: at, notBefore: at + infraPauseMs(infra), attempts: state.attempts, infra };
}

/** How long a build rests after its n-th infra end, ms: nothing, then 1 s, then doubling to a minute. */
export function infraPauseMs(infra: number): number {
  return infra <= 1 ? 0 : Math.min(60 * SECOND, SECOND * 2 ** (infra - 2));
}

function afterCancel(state: BuildState, { at, by, why }: BuildEvent & { kind: 'cancel' }): BuildState {
  switch (state.kind) {
    case 'queued':
      return { kind: 'ended', since: at, attempts: state.attempts, end: { kind: 'cancelled', by, why } };
    case 'running':
      return { kind: 'cancelling', since: state.since, attempts: state.attempts, by, why };
    case 'cancelling':
      return state;
    case 'ended':
      throw misfit(state, { kind: 'cancel', at, by, why });
    default:
      return state satisfies never;
  }
}

/** For what people ask for. */
const hints: Partial<Record<BuildEvent['kind'], string>> = {
  cancel: 'Only what waits or runs can be cancelled.',
  retry: 'Only what has ended can be retried.',
};

function misfit(state: BuildState, event: BuildEvent): CroftError {
  return new CroftError('conflict', `a build that is ${state.kind} (attempt ${state.attempts}) cannot take "${event.kind}"`, {
    hint: hints[event.kind],
  });
}

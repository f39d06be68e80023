/**
 * A machine that somebody borrows. `waiting -> preparing -> active -> ending -> ended`: it waits for a machine, which is cleaned and
 * made ready, is used, and is cleaned again before anybody else has it. What passes to it as it lies begins with `active`. Use renews
 * it up to an idle limit, people extend it, and both end at its longest life. The diagram is in docs/using/sessions.md.
 */
import { HOUR, MINUTE, SECOND } from '@croft/runtime/clock';
import { CroftError } from '@croft/runtime/errors';
import type { BuildId, BuilderName, MachineId, SessionId } from './names.ts';

/** Whether there is one because somebody asked for a machine, or about an attempt of a build. */
export type SessionFrom =
  | { readonly kind: 'asked' }
  /** Its machine, kept as it lies. `policy`: nobody asked for it, and whoever may see the build may use it. */
  | { readonly kind: 'held'; readonly build: BuildId; readonly attempt: number; readonly forMs: number; readonly policy?: true | undefined }
  /** A machine with the same source, on which the steps before the failed one are run. */
  | { readonly kind: 'repro'; readonly build: BuildId; readonly attempt: number };

export interface SessionLimits {
  /** So long after its last use it ends. */
  readonly idleMs: number;
  /** However it is used and extended. */
  readonly longestMs: number;
}

export type SessionState =
  | { readonly kind: 'waiting'; readonly since: number }
  /** `progress`: what is being done to the machine, one line. */
  | {
      readonly kind: 'preparing';
      readonly machine: MachineId;
      readonly startedAt: number;
      readonly latestAt: number;
      readonly progress: string;
    }
  | ActiveSession
  | { readonly kind: 'ending'; readonly machine: MachineId; readonly startedAt: number; readonly since: number; readonly reason: string }
  | {
      readonly kind: 'ended';
      readonly at: number;
      readonly reason: string;
      /** Of one that had a machine. */
      readonly had?: { readonly machine: MachineId; readonly startedAt: number } | undefined;
    };

export interface ActiveSession {
  readonly kind: 'active';
  readonly machine: MachineId;
  readonly startedAt: number;
  readonly usedAt: number;
  readonly expiresAt: number;
  readonly latestAt: number;
  /** What its preparation came to, where there was something to tell. */
  readonly progress?: string | undefined;
}

export type SessionEvent =
  | { readonly kind: 'assigned'; readonly at: number; readonly machine: MachineId; readonly limits: SessionLimits }
  | { readonly kind: 'progress'; readonly text: string }
  | {
      readonly kind: 'prepared';
      readonly at: number;
      readonly limits: SessionLimits;
      /** Instead of the idle limit. */ readonly forMs?: number | undefined;
      readonly text?: string | undefined;
    }
  /** The machine of an attempt passes to it as it lies. */
  | { readonly kind: 'passed'; readonly at: number; readonly machine: MachineId; readonly forMs: number; readonly limits: SessionLimits }
  | { readonly kind: 'used'; readonly at: number; readonly limits: SessionLimits }
  | { readonly kind: 'extended'; readonly at: number; readonly forMs: number }
  | { readonly kind: 'end'; readonly at: number; readonly reason: string }
  | { readonly kind: 'cleaned'; readonly at: number }
  /** Its machine is gone. */
  | { readonly kind: 'lost'; readonly at: number; readonly evidence: string };

/** @throws CroftError `conflict` when the event does not fit the state, `exhausted` beyond its longest life; nothing has changed then. */
export function advanceSession(state: SessionState, event: SessionEvent): SessionState {
  switch (event.kind) {
    case 'assigned':
      if (state.kind !== 'waiting') throw misfit(state, event);
      return {
        kind: 'preparing',
        machine: event.machine,
        startedAt: event.at,
        latestAt: event.at + event.limits.longestMs,
        progress: 'the machine is being cleaned',
      };
    case 'progress':
      if (state.kind !== 'preparing') throw misfit(state, event);
      return { ...state, progress: event.text };
    case 'prepared':
      if (state.kind !== 'preparing') throw misfit(state, event);
      return activeFrom(state, { ...event, forMs: event.forMs ?? event.limits.idleMs });
    case 'passed':
      if (state.kind !== 'waiting') throw misfit(state, event);
      return activeFrom({ machine: event.machine, startedAt: event.at, latestAt: event.at + event.limits.longestMs }, event);
    case 'used':
      if (state.kind !== 'active') throw misfit(state, event);
      return { ...state, usedAt: event.at, expiresAt: Math.max(state.expiresAt, Math.min(event.at + event.limits.idleMs, state.latestAt)) };
    case 'extended':
      return extend(state, event);
    case 'end':
      return end(state, event);
    case 'cleaned':
      if (state.kind !== 'ending') throw misfit(state, event);
      return { kind: 'ended', at: event.at, reason: state.reason, had: hadBy(state) };
    case 'lost':
      if (state.kind === 'waiting' || state.kind === 'ended') throw misfit(state, event);
      return {
        kind: 'ended',
        at: event.at,
        reason: state.kind === 'ending' ? state.reason : `its machine was lost: ${event.evidence}`,
        had: hadBy(state),
      };
    default:
      return event satisfies never;
  }
}

/** A machine that it still holds. */
export function machineOf(state: SessionState): MachineId | undefined {
  return state.kind === 'waiting' || state.kind === 'ended' ? undefined : state.machine;
}

/** Why its time is up, if it is. */
export function whyOver(state: SessionState, now: number, { idleMs, longestMs }: SessionLimits): string | undefined {
  if (state.kind === 'preparing') return now < state.latestAt ? undefined : `it had its longest life, ${lasting(longestMs)}`;
  if (state.kind !== 'active' || now < state.expiresAt) return undefined;
  if (state.expiresAt >= state.latestAt) return `it had its longest life, ${lasting(longestMs)}`;
  return state.expiresAt === state.usedAt + idleMs ? `nobody used it for ${lasting(idleMs)}` : 'its time was over and nobody used it';
}

/** Whether a use is worth a write. */
export function isUseDue({ usedAt }: ActiveSession, now: number, { idleMs }: SessionLimits): boolean {
  return now - usedAt >= Math.min(useStepMs, idleMs / 10);
}
const useStepMs = 10 * SECOND;

export function lasting(ms: number): string {
  const [unit, name] = ms >= 2 * HOUR ? [HOUR, 'h'] : ms >= 2 * MINUTE ? [MINUTE, 'min'] : [SECOND, 's'];
  return `${Math.round((10 * ms) / unit) / 10} ${name}`;
}

function activeFrom(
  { machine, startedAt, latestAt }: Pick<ActiveSession, 'machine' | 'startedAt' | 'latestAt'>,
  { at, forMs, text }: { readonly at: number; readonly forMs: number; readonly text?: string | undefined },
): ActiveSession {
  const expiresAt = Math.min(at + forMs, latestAt);
  return { kind: 'active', machine, startedAt, usedAt: at, expiresAt, latestAt, ...(text === undefined ? {} : { progress: text }) };
}

function extend(state: SessionState, event: SessionEvent & { kind: 'extended' }): SessionState {
  if (state.kind !== 'active') throw misfit(state, event);
  const expiresAt = event.at + event.forMs;
  if (expiresAt <= state.latestAt) return { ...state, expiresAt };
  const left = Math.max(0, state.latestAt - event.at);
  throw new CroftError('exhausted', `it cannot be kept for ${lasting(event.forMs)}: its longest life ends in ${lasting(left)}`, {
    hint: 'Ask for less, or for another machine.',
  });
}

function end(state: SessionState, { at, reason }: SessionEvent & { kind: 'end' }): SessionState {
  if (state.kind === 'waiting') return { kind: 'ended', at, reason };
  if (state.kind === 'ending' || state.kind === 'ended') return state;
  return { kind: 'ending', machine: state.machine, startedAt: state.startedAt, since: at, reason };
}

function hadBy({ machine, startedAt }: { readonly machine: MachineId; readonly startedAt: number }): {
  machine: MachineId;
  startedAt: number;
} {
  return { machine, startedAt };
}

function misfit(state: SessionState, { kind }: SessionEvent): CroftError {
  const told = 'reason' in state ? ` (${state.reason})` : '';
  return new CroftError('conflict', `a session that is ${state.kind}${told} cannot take "${kind}"`);
}

/** What somebody calls a session. */
export type SessionName =
  | { readonly kind: 'id'; readonly id: SessionId }
  | { readonly kind: 'alias'; readonly alias: string }
  | { readonly kind: 'build'; readonly build: BuildId };

/** Its id, its alias (both also with `user-` or `mutable-` in front, as Go's tools write it), or `build-` and the id of a build. */
export function readSessionName(text: string): SessionName {
  const [, build] = /^build-(B[0-9a-f]{16})$/.exec(text) ?? [];
  if (build !== undefined) return { kind: 'build', build: build as BuildId };
  const name = text.replace(/^(?:mutable-)?(?:user-)?/, '');
  return /^S[0-9a-f]{16}$/.test(name) ? { kind: 'id', id: name as SessionId } : { kind: 'alias', alias: name };
}

/** `OWNER-BUILDER-N`, N the lowest that is free (V2-4). The first dash ends the owner, whatever that one is called. */
export function freeAlias(owner: string, builder: BuilderName, isTaken: (alias: string) => boolean): string {
  for (let n = 0; ; n += 1) {
    const alias = `${ownerPart(owner)}-${builder}-${n}`;
    if (!isTaken(alias)) return alias;
  }
}

function ownerPart(owner: string): string {
  const part = owner
    .toLowerCase()
    .replaceAll(/[^a-z0-9._]/gu, '_')
    .replace(/^(?=[._])/, 'u');
  return reserved.has(part) ? `${part}_` : part;
}

/** What stands in front of names. */
const reserved: ReadonlySet<string> = new Set(['user', 'mutable', 'build']);

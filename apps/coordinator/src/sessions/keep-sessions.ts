/**
 * Looks after all sessions: ends those whose time is up, has each that has a machine driven to where its state leads, and renews
 * those in use. Level-triggered: moves only wake it up early.
 */
import type { BuilderName, SessionId } from '@croft/domain/names';
import { whyOver, type SessionLimits } from '@croft/domain/session';
import { SECOND, type Clock } from '@croft/runtime/clock';
import { CroftError, isCode } from '@croft/runtime/errors';
import type { Log } from '@croft/runtime/log';
import { createBell, createTaskGroup } from '@croft/runtime/tasks';
import type { Session } from '@croft/store/sessions';
import { doOnce, ringOrRest } from '../keep-doing.ts';
import type { SessionDriver } from './drive-session.ts';
import type { Entrances } from './entrances.ts';
import type { SessionRecords } from './session-records.ts';

export interface SessionKeeper extends AsyncDisposable {
  run(waits: { signal: AbortSignal }): Promise<void>;
  /** Told of each move. */
  moved(session: Session): void;
}

export interface SessionKeeperDeps {
  readonly records: SessionRecords;
  readonly driver: SessionDriver;
  readonly entrances: Entrances;
  limits(): SessionLimits;
  /** Builders that are configured. */
  builders(): readonly { readonly name: BuilderName }[];
  readonly clock: Clock;
  readonly log: Log;
}

const longestRestMs = 5 * SECOND;
const shortestRestMs = 50;

export function createSessionKeeper(deps: SessionKeeperDeps): SessionKeeper {
  const { records, driver, entrances, limits, clock, log } = deps;
  const bell = createBell();
  const group = createTaskGroup((name, error) => log.error('background work stopped', { task: name, error }));
  const driven = new Map<SessionId, AbortController>();
  const start = ({ id }: Session): void => {
    if (driven.has(id)) return;
    const stop = new AbortController();
    driven.set(id, stop);
    group.start(`session ${id}`, async ({ signal: all }) => {
      const signal = AbortSignal.any([all, stop.signal]);
      try {
        await driver.drive(id, { signal });
      } catch (error) {
        if (isCode(error, 'stale')) driver.forget(id);
        if (!signal.aborted && !isCode(error, 'conflict')) log.warn('session not brought forward, trying again', { session: id, error });
      } finally {
        driven.delete(id);
        if (stop.signal.aborted) bell.ring();
      }
    });
  };
  const pass = async (): Promise<number> => {
    let live = await records.live();
    if (entrances.isBusy && (await entrances.renew(live))) live = await records.live(); // before it is seen whose time is up
    for (const session of live) {
      const reason = whyDone(session, deps);
      if (reason !== undefined) await records.move(session.id, { kind: 'end', at: clock.now(), reason, byItself: true });
      else if (wantsDriving(session, driver)) start(session);
    }
    return untilNext(live, { now: clock.now(), idleMs: entrances.isBusy ? limits().idleMs : Infinity });
  };
  return {
    moved({ id, state }) {
      if (state.kind === 'ending' || state.kind === 'ended') driven.get(id)?.abort(new CroftError('stopped', 'the session ends'));
      if (state.kind === 'ended') driver.forget(id);
      bell.ring();
    },
    async run(waits) {
      for (;;) {
        let restMs = longestRestMs;
        await doOnce({ name: 'sessions', act: async () => void (restMs = await pass()) }, deps, waits);
        await ringOrRest(bell, restMs, { clock, signal: waits.signal });
      }
    },
    [Symbol.asyncDispose]: () => group[Symbol.asyncDispose](),
  };
}

function whyDone({ state, builder }: Session, { limits, builders, clock }: SessionKeeperDeps): string | undefined {
  if (state.kind !== 'waiting') return whyOver(state, clock.now(), limits());
  return builders().some(({ name }) => name === builder) ? undefined : `builder ${builder} is not configured any more`;
}

function wantsDriving({ id, state }: Session, driver: SessionDriver): boolean {
  return state.kind === 'preparing' || state.kind === 'ending' || (state.kind === 'active' && !driver.isHeld(id));
}

/** Until something is due, ms. */
function untilNext(live: readonly Session[], { now, idleMs }: { now: number; idleMs: number }): number {
  const due = live.flatMap(({ state }) => (state.kind === 'active' ? [state.expiresAt - now] : []));
  return Math.max(shortestRestMs, Math.min(longestRestMs, idleMs / 10, ...due));
}

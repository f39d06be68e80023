/** Who is on a session's machine at present, in memory: as long as somebody is, the session is in use; when it ends, they are told. */
import type { SessionId } from '@croft/domain/names';
import { isUseDue, type SessionLimits } from '@croft/domain/session';
import type { Clock } from '@croft/runtime/clock';
import { CroftError, isCode } from '@croft/runtime/errors';
import type { Session } from '@croft/store/sessions';
import type { SessionRecords } from './session-records.ts';

export interface Entrances {
  /** Counts as use now, and until it is disposed. @throws CroftError `conflict` when the session is not active any more */
  open(session: Session): Promise<Entrance>;
  /** Stores what use there was; call it again and again. @returns whether anything of these sessions has changed */
  renew(live: readonly Session[]): Promise<boolean>;
  /** Told of each move: those who are on its machine learn of its end. */
  moved(session: Session): void;
  /** Whether anybody is on any machine. */
  readonly isBusy: boolean;
}

export interface Entrance extends Disposable {
  readonly ended: AbortSignal;
}

interface Use {
  count: number;
  usedAt: number;
  readonly ending: AbortController;
}

export interface EntrancesDeps {
  readonly records: Pick<SessionRecords, 'move'>;
  limits(): SessionLimits;
  readonly clock: Clock;
}

export function createEntrances({ records, limits, clock }: EntrancesDeps): Entrances {
  const uses = new Map<SessionId, Use>();
  const note = async ({ id, state }: Session, at: number): Promise<boolean> => {
    if (state.kind !== 'active' || at <= state.usedAt || !isUseDue(state, clock.now(), limits())) return false;
    await records.move(id, { kind: 'used', at, limits: limits() });
    return true;
  };
  return {
    get isBusy() {
      return uses.size > 0;
    },
    async open(session) {
      const { id } = session;
      const use = uses.get(id) ?? { count: 0, usedAt: 0, ending: new AbortController() };
      uses.set(id, use);
      use.count += 1;
      use.usedAt = clock.now();
      let isOpen = true;
      const close = (): void => {
        if (isOpen) use.count -= 1;
        if (isOpen) use.usedAt = clock.now();
        isOpen = false;
      };
      try {
        await note(session, use.usedAt);
      } catch (error) {
        close();
        throw error;
      }
      return { ended: use.ending.signal, [Symbol.dispose]: close };
    },
    async renew(live) {
      let isChanged = false;
      for (const [id, use] of uses) {
        const session = live.find((one) => one.id === id);
        if (session?.state.kind !== 'active') continue;
        if (use.count > 0) use.usedAt = clock.now();
        const isNoted = await note(session, use.usedAt).catch((error: unknown) => {
          if (!isCode(error, 'conflict')) throw error;
          return true; // it has ended meanwhile
        });
        isChanged ||= isNoted;
        if (use.count === 0 && use.usedAt <= session.state.usedAt) uses.delete(id);
      }
      return isChanged;
    },
    moved({ id, alias, state }) {
      const use = uses.get(id);
      if (!use || (state.kind !== 'ending' && state.kind !== 'ended')) return;
      uses.delete(id);
      use.ending.abort(new CroftError('conflict', `session ${alias} has ended: ${state.reason}`));
    },
  };
}

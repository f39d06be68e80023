/** The parts that lend machines, each told of the others. */
import type { MachineId, SessionId } from '@croft/domain/names';
import type { SecretKeeper } from '@croft/config/keep-secrets';
import type { FarmConfig } from '@croft/config/farm-config';
import type { Clock } from '@croft/runtime/clock';
import type { Log } from '@croft/runtime/log';
import type { Random } from '@croft/runtime/random';
import type { Database } from '@croft/store/database';
import type { Session } from '@croft/store/sessions';
import type { Plan } from '@croft/domain/schedule';
import type { Machines } from '../machines/watch-machines.ts';
import { createSessionDriver } from './drive-session.ts';
import { createEntrances } from './entrances.ts';
import { createSessionKeeper } from './keep-sessions.ts';
import { createLending } from './lend-machines.ts';
import { noBuildSessions } from './no-build-sessions.ts';
import { createSessionRecords, type SessionRecords } from './session-records.ts';
import type { Sessions } from './sessions.ts';

export interface Lending extends AsyncDisposable {
  readonly sessions: Sessions;
  readonly records: SessionRecords;
  /** Looks after them until the signal is aborted. */
  run(waits: { signal: AbortSignal }): Promise<void>;
  /** The farm ends: so do all that have a machine. */
  endAll(): Promise<void>;
}

export interface LendingParts {
  readonly db: Database;
  readonly machines: Pick<Machines, 'list' | 'employ' | 'lose' | 'look' | 'release'>;
  readonly secrets: Pick<SecretKeeper, 'variables'>;
  config(): FarmConfig;
  plan(): Promise<Plan>;
  isOpen(machine: MachineId): boolean;
  /** Called when a move is durable. */
  onMove(session: SessionId): void;
  /** Called when a session's place in the queue may have changed. */
  watch(look: () => void): Disposable;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
}

export function openLending(parts: LendingParts): Lending {
  const { db, config, isOpen, onMove, clock, random } = parts;
  const limits = (): FarmConfig['sessions'] => config().sessions;
  const builders = (): FarmConfig['builders'] => config().builders;
  const moved = (session: Session): void => {
    entrances.moved(session);
    keeper.moved(session);
    onMove(session.id);
  };
  const records = createSessionRecords(db, { limits, isOpen, clock, random, onMove: moved });
  const entrances = createEntrances({ records, limits, clock });
  const driver = createSessionDriver({ ...parts, records, limits, reproduce: async () => '' });
  const keeper = createSessionKeeper({ ...parts, records, driver, entrances, limits, builders });
  const sessions = createLending({
    ...parts,
    records,
    entrances,
    hold: driver.hold,
    limits,
    builders,
    builds: noBuildSessions,
    ssh: () => undefined,
  });
  return {
    sessions,
    records,
    run: (waits) => keeper.run(waits),
    async endAll() {
      const reason = 'the farm was stopped by its operator';
      for (const { id, state } of await records.live()) {
        if (!('machine' in state)) continue;
        await records.move(id, { kind: 'end', at: clock.now(), reason, byItself: true });
        await records.lose(state.machine, reason);
      }
    },
    [Symbol.asyncDispose]: () => keeper[Symbol.asyncDispose](),
  };
}

/** The parts that lend machines, each told of the others. */
import type { BuildId, MachineId, SessionId } from '@croft/domain/names';
import type { SecretKeeper } from '@croft/config/keep-secrets';
import type { FarmConfig } from '@croft/config/farm-config';
import type { Clock } from '@croft/runtime/clock';
import type { Log } from '@croft/runtime/log';
import type { Random } from '@croft/runtime/random';
import type { Database } from '@croft/store/database';
import type { Session } from '@croft/store/sessions';
import type { Plan } from '@croft/domain/schedule';
import { getBuild } from '@croft/store/builds';
import type { Holds } from '../builds/records.ts';
import type { FarmDeps } from '../builds/work.ts';
import type { Machines } from '../machines/watch-machines.ts';
import { createSessionDriver } from './drive-session.ts';
import { createEntrances } from './entrances.ts';
import { createSessionKeeper } from './keep-sessions.ts';
import { createLending } from './lend-machines.ts';
import { createBuildLending } from './lend-builds.ts';
import { lookForTree, reproduce } from './reproduce.ts';
import type { People } from '../door/people.ts';
import { sshLine, type SshPlace } from '../door/access.ts';
import { createAttemptEnds } from './attempt-ends.ts';
import { passMachine } from './pass-machine.ts';
import { createSessionRecords, type SessionRecords, type SessionWork } from './session-records.ts';
import type { Sessions } from './sessions.ts';

export interface Lending extends AsyncDisposable {
  readonly sessions: Sessions;
  readonly records: SessionRecords;
  /** What becomes of the machines of attempts. */
  readonly holds: Holds;
  /** Told of each move of a build. */
  buildMoved(build: BuildId): void;
  /** Looks after them until the signal is aborted. */
  run(waits: { signal: AbortSignal }): Promise<void>;
  /** Sessions are entered by SSH there; nobody knows before the door is open. */
  sshAt(place: SshPlace): void;
  /** Who is who; everybody is known before. */
  knowPeople(people: Pick<People, 'strangers'>): void;
  /** The farm ends: so do all that have a machine. */
  endAll(): Promise<void>;
}

export interface LendingParts {
  /** For making machines like those of attempts. */
  readonly farm: Omit<FarmDeps, 'records'>;
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
  let door: SshPlace | undefined;
  const ssh = ({ alias }: Session): string | undefined => door && sshLine(alias, door);
  let people: Pick<People, 'strangers'> | undefined;
  const strangers = async (names: readonly string[]): Promise<readonly string[]> => (await people?.strangers(names)) ?? [];
  const records = createSessionRecords(db, { limits, isOpen, clock, random, onMove: moved });
  const entrances = createEntrances({ records, limits, clock });
  const prepare = (session: Session, work: SessionWork, waits: { signal: AbortSignal }): Promise<string | undefined> =>
    session.from.kind === 'repro'
      ? reproduce(session, work, { ...parts, records, builders, ...waits })
      : lookForTree(session, work, { ...parts, ...waits });
  const driver = createSessionDriver({ ...parts, records, limits, prepare });
  const keeper = createSessionKeeper({ ...parts, records, driver, entrances, limits, builders });
  const lent = createLending({ ...parts, records, entrances, hold: driver.hold, limits, builders, ssh, strangers });
  const ends = createAttemptEnds(async (id) => (await db.read((sql) => getBuild(sql, id)))?.state);
  const builds = createBuildLending({ ...parts, records, sessions: lent, limits, builders, attemptEnd: ends.signal });
  const sessions: Sessions = { ...lent, builds };
  return {
    sessions,
    records,
    holds: { pass: (sql, ended) => passMachine(sql, ended, { limits, random }), passed: moved },
    buildMoved: ends.moved,
    run: (waits) => keeper.run(waits),
    sshAt: (place) => void (door = place),
    knowPeople: (known) => void (people = known),
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

/**
 * Brings one session that has a machine to where its state leads: prepared, taken over after a restart, or cleaned and given back.
 * Replayable: everything is read from the store or asked of the machine, so it may be stopped between any two statements and called
 * again, by this process or the next, and comes to the same end.
 */
import type { Buildlet } from '@croft/buildlet/client';
import type { MachineId, SessionId } from '@croft/domain/names';
import type { SessionLimits } from '@croft/domain/session';
import { anySignal, MINUTE, SECOND, type Clock } from '@croft/runtime/clock';
import { CroftError, errorText, isCode } from '@croft/runtime/errors';
import type { Log } from '@croft/runtime/log';
import { backoffMs, type Random } from '@croft/runtime/random';
import type { Session } from '@croft/store/sessions';
import { clearRuns } from '../builds/clear-runs.ts';
import type { Machines } from '../machines/watch-machines.ts';
import type { Place } from './ground.ts';
import type { SessionRecords, SessionWork } from './session-records.ts';

/** A session's machine as this process holds it. */
export interface Holding {
  readonly work: SessionWork;
  readonly place: Place;
}

export interface SessionDriverDeps {
  readonly records: SessionRecords;
  readonly machines: Pick<Machines, 'employ' | 'lose' | 'look' | 'release'>;
  /** Of a session about a build: instead of cleaning the machine. Its text says what it came to. Replayable. */
  prepare(session: Session, work: SessionWork, waits: Waits): Promise<string | undefined>;
  limits(): SessionLimits;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
}

export interface SessionDriver {
  /** Goes on until nothing is to be done at present. @throws CroftError `stale` when another process holds the session */
  drive(session: SessionId, waits: Waits): Promise<void>;
  /**
   * Its machine, taken over first where an earlier process had it.
   * @throws CroftError `unavailable` while that does not answer, `conflict` when the session ends by it
   */
  hold(session: Session, waits: Waits): Promise<Holding>;
  isHeld(session: SessionId): boolean;
  /** Nothing is remembered of it. */
  forget(session: SessionId): void;
}

interface Waits {
  readonly signal: AbortSignal;
}

/** A machine that is not clean after this is not given to anybody else. */
const cleanMs = MINUTE;
const answerMs = 10 * SECOND;

const lostByRestart = "the coordinator was restarted, and one of Go's buildlets keeps nothing over that";

export function createSessionDriver(deps: SessionDriverDeps): SessionDriver {
  const { records, clock } = deps;
  const held = createHeld(deps);
  const startedAt = clock.now();
  const hold = async (session: Session, waits: Waits): Promise<Holding> => {
    const { state } = session;
    const holding = await held.take(session, waits);
    if (state.kind === 'active' && state.startedAt < startedAt && holding.place.speaks === 'go') {
      await records.move(session.id, { kind: 'end', at: clock.now(), reason: lostByRestart, byItself: true });
      throw new CroftError('conflict', `session ${session.alias} has ended: ${lostByRestart}`);
    }
    return holding;
  };
  return {
    hold,
    isHeld: held.has,
    forget: held.forget,
    async drive(id, waits) {
      for (;;) {
        const session = await records.get(id);
        switch (session?.state.kind) {
          case 'preparing':
            await prepare(deps, session, { ...waits, held });
            break;
          case 'active':
            await hold(session, waits);
            return;
          case 'ending':
            await giveBack(deps, session, { ...waits, held });
            break;
          default:
            held.forget(id);
            return;
        }
      }
    },
  };
}

/** What this process holds, and what it asked of the machines. */
interface Held {
  has(id: SessionId): boolean;
  own(session: Session): Promise<SessionWork>;
  take(session: Session, waits: Waits): Promise<Holding>;
  forget(id: SessionId): void;
}

function createHeld({ records, machines, clock }: SessionDriverDeps): Held {
  const works = new Map<SessionId, Promise<SessionWork>>();
  const places = new Map<SessionId, Place>();
  const takeOver = async ({ id, alias }: Session): Promise<SessionWork> => {
    const work = await records.takeOver(id);
    if (work) return work;
    throw new CroftError('stale', `session ${alias} holds no machine any more`);
  };
  /** Once, however many ask at the same time: each take-over fences the one before. */
  const own = (session: Session): Promise<SessionWork> => {
    const known = works.get(session.id);
    if (known) return known;
    const taking = takeOver(session);
    works.set(session.id, taking);
    taking.catch(() => works.delete(session.id));
    return taking;
  };
  const ask = async (machine: MachineId, { signal }: Waits): Promise<Place> => {
    const waits = { signal: anySignal(signal, clock.deadline(answerMs)) };
    const buildlet = machines.employ(machine);
    const [status, workDir] = await Promise.all([buildlet.status(waits), buildlet.workDir(waits)]);
    return { workDir, speaks: status.Croft ? 'croft' : 'go' };
  };
  return {
    has: (id) => places.has(id),
    own,
    async take(session, waits) {
      const work = await own(session);
      const place = places.get(session.id) ?? (await ask(work.lease.machine, waits));
      places.set(session.id, place);
      return { work, place };
    },
    forget(id) {
      works.delete(id);
      places.delete(id);
    },
  };
}

interface Driving extends Waits {
  readonly held: Held;
}

async function prepare(deps: SessionDriverDeps, session: Session, { signal, held }: Driving): Promise<void> {
  const { records, machines, limits, clock } = deps;
  try {
    const { work } = await untilReached(() => held.take(session, { signal }), deps, signal);
    const clean = (): Promise<undefined> => cleaned(machines.employ(work.lease.machine), work.lease.epoch, { clock, signal });
    const { from } = session;
    const text = await (from.kind === 'asked' ? untilReached(clean, deps, signal) : deps.prepare(session, work, { signal }));
    const forMs = from.kind === 'held' ? from.forMs : undefined;
    await records.moveAs(work, { kind: 'prepared', at: clock.now(), limits: limits(), forMs, text });
  } catch (error) {
    signal.throwIfAborted();
    if (isCode(error, 'stale') || isCode(error, 'stopped')) throw error;
    const reason = `its machine could not be made ready: ${errorText(error)}`;
    await records.move(session.id, { kind: 'end', at: clock.now(), reason, byItself: true });
  }
}

/**
 * What runs there is killed and its files are removed. A machine where that fails is made anew, and so is each of Go's: what was
 * started there over SSH may still run.
 */
async function giveBack(deps: SessionDriverDeps, session: Session, { signal, held }: Driving): Promise<void> {
  const { records, machines, clock, log } = deps;
  const work = await held.own(session);
  const { machine, epoch } = work.lease;
  const waits = { signal: anySignal(signal, clock.deadline(cleanMs)) };
  const clean = async (): Promise<Place['speaks']> => {
    await cleaned(machines.employ(machine), epoch, { clock, ...waits });
    return (await held.take(session, waits)).place.speaks;
  };
  let evidence = `it is one of Go's, and begins anew after session ${session.alias}`;
  try {
    if ((await untilReached(clean, deps, waits.signal)) === 'croft') {
      await records.moveAs(work, { kind: 'cleaned', at: clock.now() });
      return machines.release(machine);
    }
  } catch (error) {
    signal.throwIfAborted();
    if (isCode(error, 'stale')) throw error;
    evidence = `it could not be cleaned after session ${session.alias}: ${errorText(error)}`;
    log.warn('machine not cleaned', { machine, session: session.id, error });
  }
  await machines.lose(machine, evidence, { signal }).catch((error: unknown) => {
    if (!isCode(error, 'not-found')) throw error;
  });
  await records.lose(machine, evidence); // where the watch does not know it any more
}

async function cleaned(buildlet: Buildlet, epoch: number, { clock, signal }: { clock: Clock } & Waits): Promise<undefined> {
  await clearRuns(buildlet, () => true, { epoch, clock, signal });
  await buildlet.removeAll(['.'], epoch, { signal });
}

/** Again and again, until the signal is aborted: whoever declares the machine lost does that. */
async function untilReached<T>(call: () => Promise<T>, { clock, random, machines }: SessionDriverDeps, signal: AbortSignal): Promise<T> {
  for (let tries = 0; ; tries += 1) {
    try {
      return await call();
    } catch (error) {
      signal.throwIfAborted();
      if (!isCode(error, 'unavailable') && !isCode(error, 'timeout')) throw error;
      machines.look();
      await clock.sleep(backoffMs(tries, random), { signal });
    }
  }
}

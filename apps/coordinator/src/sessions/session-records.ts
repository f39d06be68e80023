/**
 * What is stored about sessions, and the only place that moves them: each function is one transaction that reads the state, lets
 * `@croft/domain` decide, and writes. What is done to a machine on a session's behalf is fenced by the epoch of its lease.
 */
import { parseLeaseId, parseSessionId, type MachineId, type SessionId } from '@croft/domain/names';
import { advanceSession, freeAlias, type SessionEvent, type SessionLimits } from '@croft/domain/session';
import type { Clock } from '@croft/runtime/clock';
import { CroftError } from '@croft/runtime/errors';
import type { Random } from '@croft/runtime/random';
import { appendAudit } from '@croft/store/audit';
import type { Database, Sql } from '@croft/store/database';
import { assertHeld, endLease, insertLease, leaseOfHolder, leaseOfMachine, takeOverLease } from '@croft/store/leases';
import {
  describeSession,
  getSession,
  getSessionForUpdate,
  insertSession,
  liveSessions,
  saveSessionState,
  type NewSession,
  type Session,
} from '@croft/store/sessions';
import { farmName, isByPolicy } from './pass-machine.ts';

/** A session's hold on its machine. */
export interface SessionWork {
  readonly session: SessionId;
  readonly lease: { readonly id: ReturnType<typeof parseLeaseId>; readonly machine: MachineId; readonly epoch: number };
}

export interface SessionRecords {
  /** @throws CroftError `exhausted` beyond what one person may have */
  create(wish: Wish, take?: Take): Promise<Session>;
  /** Leases the machine to it; false when either is not free any more. */
  assign(session: SessionId, machine: MachineId): Promise<boolean>;
  /** Under a new epoch: whoever acted for it before is fenced off. Undefined when it holds no machine any more. */
  takeOver(session: SessionId): Promise<SessionWork | undefined>;
  get(session: SessionId): Promise<Session | undefined>;
  live(): Promise<Session[]>;
  /** What people, or time, do to it. */
  move(session: SessionId, event: PersonEvent): Promise<Session>;
  /** What was done to its machine. @throws CroftError `stale` for who does not hold it any more */
  moveAs(work: SessionWork, event: MachineEvent): Promise<Session>;
  /** The machine is gone: whichever session held it has ended. */
  lose(machine: MachineId, evidence: string): Promise<void>;
  describe(session: SessionId, change: Partial<Pick<Session, 'note' | 'sharedWith'>>): Promise<Session>;
}

type Wish = Pick<NewSession, 'owner' | 'builder' | 'repos' | 'needs' | 'from' | 'note'>;
/** What happens to it in the same transaction, as its state afterwards. */
type Take = (sql: Sql, session: Session) => Promise<Session['state'] | undefined>;

type PersonEvent = Extract<SessionEvent, { kind: 'used' | 'extended' | 'end' }> & {
  /** Nobody asked for it. */
  readonly byItself?: true;
};
type MachineEvent = Extract<SessionEvent, { kind: 'progress' | 'prepared' | 'cleaned' }>;

export interface SessionRecordsDeps {
  limits(): SessionLimits & { readonly perPerson: number };
  /** Whether the machine is given to anybody at the moment. */
  isOpen(machine: MachineId): boolean;
  readonly clock: Clock;
  readonly random: Random;
  /** Called when a move is durable. */
  onMove(session: Session): void;
}

export function createSessionRecords(db: Database, { limits, isOpen, clock, random, onMove }: SessionRecordsDeps): SessionRecords {
  const told = async <T extends Session | undefined>(move: Promise<T>): Promise<T> => {
    const session = await move;
    if (session) onMove(session);
    return session;
  };
  return {
    create(wish, take) {
      const at = clock.now();
      const session: NewSession = {
        ...wish,
        id: parseSessionId(`S${random.hex(8)}`),
        createdAt: at,
        state: { kind: 'waiting', since: at },
      };
      return told(
        db.write(async (sql) => {
          const stored = await insertSession(sql, session, (live) => admit(session, live, limits().perPerson));
          const state = await take?.(sql, stored);
          if (state) await saveSessionState(sql, stored.id, state);
          return state ? { ...stored, state } : stored;
        }),
      );
    },
    async assign(session, machine) {
      const lease = parseLeaseId(`L${random.hex(8)}`);
      return (
        (await told(db.write((sql) => assign(sql, { session, machine, lease, at: clock.now(), limits: limits(), isOpen })))) !== undefined
      );
    },
    takeOver: (session) => db.write((sql) => takeOver(sql, session)),
    get: (session) => db.read((sql) => getSession(sql, session)),
    live: () => db.read((sql) => liveSessions(sql)),
    move: (session, event) => told(db.write((sql) => move(sql, session, event))),
    moveAs: (work, event) => told(db.write((sql) => moveAs(sql, work, event))),
    async lose(machine, evidence) {
      await told(db.write((sql) => lose(sql, machine, { kind: 'lost', at: clock.now(), evidence })));
    },
    describe: (session, change) =>
      told(
        db.write(async (sql) => {
          const found = await getSessionForUpdate(sql, session);
          if (found.state.kind === 'ended') throw new CroftError('conflict', `session ${found.alias} has ended: ${found.state.reason}`);
          await describeSession(sql, session, change);
          return { ...found, ...change };
        }),
      ),
  };
}

function admit({ owner, builder }: NewSession, live: readonly Session[], perPerson: number): string {
  const own = live.filter((session) => session.owner === owner && !isByPolicy(session));
  if (own.length >= perPerson) {
    throw new CroftError('exhausted', `${owner} has ${own.length} sessions, which is as many as one person may have`, {
      hint: `End one of them: ${own.map(({ alias }) => alias).join(', ')}.`,
    });
  }
  const taken = new Set(live.map(({ alias }) => alias));
  return freeAlias(owner, builder, (alias) => taken.has(alias));
}

interface Assignment extends Pick<SessionRecordsDeps, 'isOpen'> {
  readonly session: SessionId;
  readonly machine: MachineId;
  readonly lease: SessionWork['lease']['id'];
  readonly at: number;
  readonly limits: SessionLimits;
}

async function assign(sql: Sql, { session: id, machine, lease, at, limits, isOpen }: Assignment): Promise<Session | undefined> {
  const session = await getSessionForUpdate(sql, id);
  if (session.state.kind !== 'waiting' || !isOpen(machine)) return undefined;
  const state = advanceSession(session.state, { kind: 'assigned', at, machine, limits });
  if (!(await insertLease(sql, { id: lease, machine, holder: { kind: 'session', id }, at }))) return undefined;
  await saveSessionState(sql, id, state);
  return { ...session, state };
}

async function takeOver(sql: Sql, id: SessionId): Promise<SessionWork | undefined> {
  await getSessionForUpdate(sql, id);
  const lease = await leaseOfHolder(sql, { kind: 'session', id });
  if (!lease) return undefined;
  const epoch = await takeOverLease(sql, lease.id);
  return { session: id, lease: { id: lease.id, machine: lease.machine, epoch } };
}

async function move(sql: Sql, id: SessionId, { byItself, ...event }: PersonEvent): Promise<Session> {
  const session = await getSessionForUpdate(sql, id);
  const state = advanceSession(session.state, event);
  if (state === session.state) return session;
  await saveSessionState(sql, id, state);
  if (byItself && event.kind === 'end') {
    await appendAudit(sql, { at: event.at, who: farmName, what: 'session.end', target: id, from: '', detail: { why: event.reason } });
  }
  return { ...session, state };
}

async function moveAs(sql: Sql, { session: id, lease }: SessionWork, event: MachineEvent): Promise<Session> {
  const session = await getSessionForUpdate(sql, id);
  await assertHeld(sql, { lease: lease.id, epoch: lease.epoch });
  const state = advanceSession(session.state, event);
  await saveSessionState(sql, id, state);
  if (event.kind === 'cleaned') await endLease(sql, lease.id, { epoch: lease.epoch, at: event.at });
  return { ...session, state };
}

async function lose(sql: Sql, machine: MachineId, event: SessionEvent & { kind: 'lost' }): Promise<Session | undefined> {
  const lease = await leaseOfMachine(sql, machine);
  if (!lease || lease.holder.kind !== 'session') return undefined;
  const session = await getSessionForUpdate(sql, parseSessionId(lease.holder.id));
  const state = advanceSession(session.state, event);
  await saveSessionState(sql, session.id, state);
  await endLease(sql, lease.id, { at: event.at });
  const detail = { why: state.kind === 'ended' ? state.reason : '' };
  await appendAudit(sql, { at: event.at, who: farmName, what: 'session.end', target: session.id, from: '', detail });
  return { ...session, state };
}

/** The capabilities of sessions: who asks is checked, what they want is stored, and the keeper is left to see to it. */
import type { Builder } from '@croft/domain/job';
import type { MachineId } from '@croft/domain/names';
import type { Plan } from '@croft/domain/schedule';
import { advanceSession, readSessionName, type SessionLimits, type SessionState } from '@croft/domain/session';
import type { SessionView } from '@croft/protocol/sessions';
import { SECOND, type Clock, type Waits } from '@croft/runtime/clock';
import { CroftError } from '@croft/runtime/errors';
import { createBell } from '@croft/runtime/tasks';
import type { Database, Sql } from '@croft/store/database';
import { endedSessions, getSession, liveSessionByAlias, liveSessions, type Session } from '@croft/store/sessions';
import { hasRole } from '@croft/web/identity';
import { findServices } from '../services/run-services.ts';
import type { SecretKeeper } from '@croft/config/keep-secrets';
import { ringOrRest } from '../keep-doing.ts';
import type { Machines } from '../machines/watch-machines.ts';
import { mayEnd, maySee, mayUse, refuse } from './access.ts';
import type { Holding } from './drive-session.ts';
import type { Entrances } from './entrances.ts';
import { sessionGround } from './ground.ts';
import type { SessionRecords } from './session-records.ts';
import { toSessionView, waitOf } from './session-view.ts';
import type { Entered, Person, Sessions } from './sessions.ts';

export interface LendingDeps {
  readonly db: Database;
  readonly records: SessionRecords;
  readonly entrances: Entrances;
  readonly machines: Pick<Machines, 'list' | 'employ'>;
  readonly secrets: Pick<SecretKeeper, 'variables'>;
  hold(session: Session, waits: { signal: AbortSignal }): Promise<Holding>;
  plan(): Promise<Plan>;
  limits(): SessionLimits;
  builders(): readonly Builder[];
  /** Called whenever a session has moved or its place in the queue may have. */
  watch(look: () => void): Disposable;
  /** How a session is entered with OpenSSH, where there is a door. */
  ssh(session: Session): string | undefined;
  /** Those of the names that nobody has here now. */
  strangers(names: readonly string[]): Promise<readonly string[]>;
  readonly clock: Clock;
}

const shownEnded = 200;
/** A machine that does not answer within this is told as such. */
const enterMs = 10 * SECOND;
/** Followers hear of it at least so often. */
const followMs = 5 * SECOND;
/** Between two looks: short at first, since most get a machine at once, and longer for those who wait. */
const pauseMs = (elapsedMs: number): number => (elapsedMs < 2 * SECOND ? 10 : SECOND / 4);

export function createLending(deps: LendingDeps): Omit<Sessions, 'builds'> {
  const { db, records, clock } = deps;
  const find = async (who: Person, name: string): Promise<Session> => {
    const session = await db.read((sql) => findSession(sql, name));
    if (session && maySee(who, session)) return session;
    throw new CroftError('not-found', `there is no session "${name}"`, { hint: 'Those that there are: gomote list -all, or /sessions.' });
  };
  const findOwn = async (who: Person, name: string): Promise<Session> => {
    const session = await find(who, name);
    return mayUse(who, session) ? session : refuse(who, session);
  };
  const view = async (session: Session): Promise<SessionView> => (await viewAll(deps, [session]))[0] ?? toSessionView(session, {});
  const change = async (who: Person, name: string, act: (session: Session) => Promise<Session>): Promise<SessionView> =>
    view(await act(await findOwn(who, name)));
  return {
    create: async (who, { builder, note = '' }) => {
      const { name, repos, needs } = builderFor(who, builder, deps.builders());
      return view(await records.create({ owner: who.name, builder: name, repos, needs, from: { kind: 'asked' }, note }));
    },
    async list(who, { mine = false, ended = false } = {}) {
      const all = await db.read((sql) => (ended ? endedSessions(sql, shownEnded) : liveSessions(sql)));
      return viewAll(
        deps,
        all.filter((session) => (mine ? mayUse(who, session) : maySee(who, session))),
      );
    },
    get: async (who, name) => view(await find(who, name)),
    follow: (who, name, waits) => follow(deps, async (id) => view(await find(who, id ?? name)), waits),
    extend: (who, name, forMs) => change(who, name, ({ id }) => records.move(id, { kind: 'extended', at: clock.now(), forMs })),
    share: (who, name, sharedWith) => change(who, name, ({ id }) => records.describe(id, { sharedWith })),
    note: (who, name, note) => change(who, name, ({ id }) => records.describe(id, { note })),
    async end(who, name, why) {
      const session = await find(who, name);
      if (!mayEnd(who, session)) refuse(who, session);
      return view(await records.move(session.id, { kind: 'end', at: clock.now(), reason: `ended by ${who.name}: ${why}` }));
    },
    enter: async (who, name) => enter(deps, await findOwn(who, name)),
  };
}

/** The one that has this id, or the one of this alias or about this build that has not ended. */
async function findSession(sql: Sql, text: string): Promise<Session | undefined> {
  const name = readSessionName(text);
  switch (name.kind) {
    case 'id':
      return getSession(sql, name.id);
    case 'alias':
      return liveSessionByAlias(sql, name.alias);
    case 'build':
      return (await liveSessions(sql, { build: name.build })).find(({ from }) => from.kind === 'held');
    default:
      return name satisfies never;
  }
}

/** @throws CroftError `forbidden`, `not-found` */
function builderFor(who: Person, name: string, builders: readonly Builder[]): Builder {
  if (!hasRole(who, 'developer'))
    throw new CroftError('forbidden', `borrowing a machine needs the role developer, which ${who.name} has not`);
  const visible = builders.filter((builder) => maySee(who, builder));
  const builder = visible.find((candidate) => candidate.name === name);
  if (builder) return builder;
  const names = visible.map((candidate) => candidate.name).join(', ');
  throw new CroftError('not-found', `no builder is called "${name}"; there are: ${names || 'none'}`);
}

async function viewAll({ machines, plan, ssh, strangers }: LendingDeps, sessions: readonly Session[]): Promise<SessionView[]> {
  const hosts = new Map(machines.list().map(({ observed }) => [observed.id, observed.hostType]));
  const planned = sessions.some(({ state }) => state.kind === 'waiting') ? await plan() : undefined;
  const unknown = await strangers([...new Set(sessions.flatMap(({ sharedWith }) => sharedWith))]);
  return sessions.map((session) => {
    const { state } = session;
    const machine: MachineId | undefined = 'machine' in state ? state.machine : undefined;
    const wait = state.kind === 'waiting' && planned ? waitOf(session, planned) : undefined;
    return toSessionView(session, { hostType: machine && hosts.get(machine), wait, ssh: ssh(session), strangers: unknown });
  });
}

async function* follow(
  { watch, clock }: Pick<LendingDeps, 'watch' | 'clock'>,
  read: (id?: string) => Promise<SessionView>,
  { signal = new AbortController().signal }: Waits,
): AsyncGenerator<SessionView> {
  const bell = createBell();
  using _watching = watch(bell.ring);
  const startedAt = clock.monotonic();
  let session = await read();
  for (let told = '', toldAt = 0; ;) {
    const text = JSON.stringify(session);
    if (text !== told || clock.monotonic() - toldAt >= followMs) {
      yield session;
      [told, toldAt] = [text, clock.monotonic()];
    }
    if (session.state === 'active' || session.state === 'ended') return;
    await clock.sleep(pauseMs(clock.monotonic() - startedAt), { signal });
    await ringOrRest(bell, followMs, { clock, signal });
    session = await read(session.id);
  }
}

async function enter(deps: LendingDeps, session: Session): Promise<Entered> {
  const { entrances, limits, clock, machines, secrets } = deps;
  if (session.state.kind !== 'active') throw new CroftError('conflict', whyClosed(session.alias, session.state));
  const { work, place } = await deps.hold(session, { signal: clock.deadline(enterMs) });
  const entrance = await entrances.open(session);
  const used: Session = { ...session, state: advanceSession(session.state, { kind: 'used', at: clock.now(), limits: limits() }) };
  const [view] = await viewAll(deps, [used]);
  const builder = deps.builders().find(({ name }) => name === session.builder);
  const given = builder?.shell.secrets === true ? secrets.variables(builder.secrets) : {};
  const buildlet = machines.employ(work.lease.machine);
  const isLike = session.from.kind === 'repro' && place.speaks === 'croft'; // the services of what it repeats run there
  const services = isLike ? await findServices(builder?.services ?? [], session.id, { buildlet, signal: clock.deadline(enterMs) }) : {};
  return {
    session: view ?? toSessionView(used, {}),
    buildlet,
    epoch: work.lease.epoch,
    ground: sessionGround(builder, place, { repo: session.repos[0], variables: { ...services, ...given } }),
    groundAs(name) {
      const other = deps.builders().find((one) => one.name === name);
      return other && sessionGround(other, place, { repo: session.repos[0] });
    },
    ended: entrance.ended,
    [Symbol.dispose]: () => entrance[Symbol.dispose](),
  };
}

function whyClosed(alias: string, state: Exclude<SessionState, { kind: 'active' }>): string {
  switch (state.kind) {
    case 'waiting':
      return `session ${alias} has no machine yet`;
    case 'preparing':
      return `the machine of session ${alias} is not ready yet: ${state.progress}`;
    case 'ending':
    case 'ended':
      return `session ${alias} has ended: ${state.reason}`;
    default:
      return state satisfies never;
  }
}

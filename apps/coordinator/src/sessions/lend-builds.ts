/** Sessions about builds: keeping the machine of an attempt, being on it while that runs, and repeating it by hand. */
import type { SessionSettings } from '@croft/config/farm-config';
import type { SecretKeeper } from '@croft/config/keep-secrets';
import type { Builder } from '@croft/domain/job';
import { parseLeaseId, type BuildId, type MachineId } from '@croft/domain/names';
import { advanceSession } from '@croft/domain/session';
import { SECOND, type Clock } from '@croft/runtime/clock';
import { CroftError, isCode } from '@croft/runtime/errors';
import type { Random } from '@croft/runtime/random';
import { getAttempt, type Attempt } from '@croft/store/attempts';
import { getBuild, type StoredBuild } from '@croft/store/builds';
import type { Database, Sql } from '@croft/store/database';
import { assertHeld, insertLease, lastLease, leaseOfHolder } from '@croft/store/leases';
import { liveSessions, type Session } from '@croft/store/sessions';
import { hasRole } from '@croft/web/identity';
import { findServices } from '../services/run-services.ts';
import { runsOf } from '../builds/clear-runs.ts';
import type { Machines } from '../machines/watch-machines.ts';
import { maySee, mayUse, refuse } from './access.ts';
import { sessionGround } from './ground.ts';
import { reposOf } from './pass-machine.ts';
import type { SessionRecords } from './session-records.ts';
import type { BuildSessions, EnteredBuild, Person, Sessions } from './sessions.ts';

export interface BuildLendingDeps {
  readonly db: Database;
  readonly records: SessionRecords;
  readonly machines: Pick<Machines, 'employ'>;
  readonly secrets: Pick<SecretKeeper, 'variables'>;
  /** The same on sessions. */
  readonly sessions: Pick<Sessions, 'end' | 'enter' | 'get'>;
  builders(): readonly Builder[];
  limits(): SessionSettings;
  isOpen(machine: MachineId): boolean;
  /** Aborted when the attempt has ended. */
  attemptEnd(build: BuildId, attempt: number): AbortSignal;
  readonly clock: Clock;
  readonly random: Random;
}

interface Found {
  readonly build: StoredBuild;
  /** The last. */
  readonly attempt: Attempt;
}

const enterMs = 10 * SECOND;

export function createBuildLending(deps: BuildLendingDeps): BuildSessions {
  const { db, records, sessions, builders, limits } = deps;
  const find = async (who: Person, id: BuildId): Promise<Found> => {
    const [build, attempt] = await db.read((sql) => readBuild(sql, id));
    if (!build || !maySee(who, { repos: reposOf(build) })) throw new CroftError('not-found', `there is no build ${id}`);
    if (!attempt) throw new CroftError('conflict', `build ${id} has no attempt yet`);
    return { build, attempt };
  };
  const held = async (id: BuildId): Promise<Session | undefined> =>
    (await db.read((sql) => liveSessions(sql, { build: id }))).find(({ from }) => from.kind === 'held');
  return {
    async hold(who, id, { forMs, note = '' }) {
      requireDeveloper(who);
      const { build, attempt } = await find(who, id);
      const present = await held(id);
      if (present) return mayUse(who, present) ? sessions.get(who, present.id) : refuse(who, present);
      const { holdOnFailureMs = limits().idleMs } = builders().find(({ name }) => name === build.builder) ?? {};
      const from = { kind: 'held', build: id, attempt: attempt.number, forMs: forMs ?? holdOnFailureMs } as const;
      const wish = { owner: who.name, builder: build.builder, repos: reposOf(build), needs: build.needs, from, note };
      const take = attempt.state.kind === 'running' ? whileItRuns : takeMachine;
      const { id: session } = await records.create(wish, (sql, one) => take(sql, { session: one, attempt, deps }));
      return sessions.get(who, session);
    },
    async unhold(who, id, why) {
      await find(who, id);
      return sessions.end(who, `build-${id}`, why);
    },
    async repro(who, id, { note = '' }) {
      requireDeveloper(who);
      const { build, attempt } = await find(who, id);
      const builder = builders().find(({ name }) => name === build.builder);
      if (!builder) throw new CroftError('conflict', `builder ${build.builder} is not configured any more`);
      if (!attempt.job) throw new CroftError('conflict', `attempt ${attempt.number} of build ${id} was never planned`);
      const from = { kind: 'repro', build: id, attempt: attempt.number } as const;
      const wish = { owner: who.name, builder: builder.name, repos: reposOf(build), needs: builder.needs, from, note };
      return sessions.get(who, (await records.create(wish)).id);
    },
    async enter(who, id) {
      const found = await find(who, id);
      const session = await held(id);
      if (!session || session.state.kind === 'waiting') return enterAttempt(deps, who, found);
      return { ...(await sessions.enter(who, session.id)), runs: `${session.id}.` };
    },
  };
}

function requireDeveloper(who: Person): void {
  if (!hasRole(who, 'developer'))
    throw new CroftError('forbidden', `borrowing a machine needs the role developer, which ${who.name} has not`);
}

async function readBuild(sql: Sql, id: BuildId): Promise<[StoredBuild?, Attempt?]> {
  const build = await getBuild(sql, id);
  if (!build) return [];
  const attempt = await getAttempt(sql, { build: id, number: build.state.attempts });
  return attempt ? [build, attempt] : [build];
}

interface Taking {
  readonly session: Session;
  readonly attempt: Attempt;
  readonly deps: Pick<BuildLendingDeps, 'clock' | 'random' | 'limits' | 'isOpen'>;
}

/** It waits for the attempt's end, which cannot come before this transaction's. */
async function whileItRuns(sql: Sql, { attempt }: Taking): Promise<undefined> {
  const lease = await leaseOfHolder(sql, { kind: 'attempt', id: `${attempt.build}.${attempt.number}` });
  try {
    if (lease) return await assertHeld(sql, { lease: lease.id, epoch: lease.state.epoch }).then(() => undefined);
  } catch (error) {
    if (!isCode(error, 'stale')) throw error;
  }
  throw new CroftError('conflict', `attempt ${attempt.number} of build ${attempt.build} has just ended: ask once more`);
}

/** The machine as the attempt left it, if nobody had it since. */
async function takeMachine(sql: Sql, { session, attempt, deps }: Taking): Promise<Session['state']> {
  const { machine, build, number } = attempt;
  const last = await lastLease(sql, machine);
  const at = deps.clock.now();
  const isOurs = last?.holder.kind === 'attempt' && last.holder.id === `${build}.${number}` && last.state.kind === 'ended';
  const id = parseLeaseId(`L${deps.random.hex(8)}`);
  if (isOurs && deps.isOpen(machine) && (await insertLease(sql, { id, machine, holder: { kind: 'session', id: session.id }, at })))
    return advanceSession(session.state, { kind: 'assigned', at, machine, limits: deps.limits() });
  throw new CroftError('conflict', `machine ${machine} is gone, or had something else to do since attempt ${number} of build ${build}`, {
    hint: 'Ask for a machine like it: gomote repro. Builders with holdOnFailureMs keep machines by themselves.',
  });
}

/** Beside the attempt, under its epoch. Only for operators and for who asked for the build: its secrets are there. */
async function enterAttempt(deps: BuildLendingDeps, who: Person, { build, attempt }: Found): Promise<EnteredBuild> {
  const { db, machines, builders, secrets, clock } = deps;
  const { id, trigger } = build;
  const holder = { kind: 'attempt', id: `${id}.${attempt.number}` } as const;
  const lease = await db.read((sql) => leaseOfHolder(sql, holder));
  if (!lease)
    throw new CroftError('conflict', `nothing runs for build ${id}, and no session holds its machine`, { hint: `gomote hold ${id}` });
  const isTheirs = hasRole(who, 'developer') && trigger.kind === 'asked' && trigger.ref === who.name;
  if (!isTheirs && !hasRole(who, 'operator'))
    throw new CroftError('forbidden', `while build ${id} runs, its machine is for operators and for who asked for it`);
  const waits = { signal: clock.deadline(enterMs) };
  const buildlet = machines.employ(lease.machine);
  const [status, workDir] = await Promise.all([buildlet.status(waits), buildlet.workDir(waits)]);
  const builder = builders().find(({ name }) => name === build.builder);
  const given = builder?.shell.secrets === true ? secrets.variables(builder.secrets) : {};
  const services = status.Croft ? await findServices(builder?.services ?? [], holder.id, { buildlet, ...waits }) : {};
  return {
    buildlet,
    epoch: lease.state.epoch,
    ground: sessionGround(
      builder,
      { workDir, speaks: status.Croft ? 'croft' : 'go' },
      { repo: build.repo, variables: { ...services, ...given } },
    ),
    ended: deps.attemptEnd(id, attempt.number),
    runs: runsOf({ build: id, attempt: attempt.number }),
    [Symbol.dispose]() {},
  };
}

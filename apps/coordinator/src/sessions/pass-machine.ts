/**
 * What becomes of an attempt's machine in the write that ends it: it passes, as it lies, to the session that waits for that, or to one
 * that its builder's policy makes; in no moment is it anybody else's.
 */
import type { Builder } from '@croft/domain/job';
import { parseSessionId } from '@croft/domain/names';
import { endText, type AttemptEnd } from '@croft/domain/outcome';
import { advanceSession, freeAlias, type SessionLimits } from '@croft/domain/session';
import type { Random } from '@croft/runtime/random';
import { appendAudit } from '@croft/store/audit';
import type { StoredBuild } from '@croft/store/builds';
import type { Sql } from '@croft/store/database';
import { passLease } from '@croft/store/leases';
import { getSessionForUpdate, insertSession, liveSessions, saveSessionState, type NewSession, type Session } from '@croft/store/sessions';
import type { Work } from '../builds/work.ts';

/** Stands for nobody in particular. */
export const farmName = 'croft';

export interface EndedWork {
  readonly work: Work;
  readonly build: StoredBuild;
  /** Undefined when it is not configured any more. */
  readonly builder: Builder | undefined;
  readonly end: AttemptEnd;
  readonly at: number;
}

export interface PassingDeps {
  limits(): SessionLimits & { readonly heldAtOnce: number };
  readonly random: Random;
}

/** @returns the session that has the machine now, or that has waited for it in vain */
export async function passMachine(sql: Sql, ended: EndedWork, { limits, random }: PassingDeps): Promise<Session | undefined> {
  const { work, end, at } = ended;
  const wish = await wishFor(sql, work);
  if (wish && end.kind === 'infra') {
    const state = advanceSession(wish.state, { kind: 'end', at, reason: `attempt ${work.attempt} ended by ${endText(end)}` });
    await saveSessionState(sql, wish.id, state);
    return { ...wish, state };
  }
  const session = wish ?? (await heldByPolicy(sql, ended, { limits, random }));
  if (!session || session.from.kind !== 'held') return undefined;
  await passLease(sql, { lease: work.lease.id, epoch: work.lease.epoch }, { kind: 'session', id: session.id });
  const { forMs } = session.from;
  const state = advanceSession(session.state, { kind: 'passed', at, machine: work.lease.machine, forMs, limits: limits() });
  await saveSessionState(sql, session.id, state);
  return { ...session, state };
}

async function wishFor(sql: Sql, { build, attempt }: Work): Promise<Session | undefined> {
  const about = await liveSessions(sql, { build });
  const found = about.find(({ from, state }) => from.kind === 'held' && from.attempt === attempt && state.kind === 'waiting');
  if (!found) return undefined;
  const session = await getSessionForUpdate(sql, found.id);
  return session.state.kind === 'waiting' ? session : undefined;
}

async function heldByPolicy(sql: Sql, ended: EndedWork, { limits, random }: PassingDeps): Promise<Session | undefined> {
  const { work, build, builder, end, at } = ended;
  const forMs = builder?.holdOnFailureMs;
  if (!builder || forMs === undefined || (end.kind !== 'failed' && end.kind !== 'timed-out')) return undefined;
  if ((await liveSessions(sql)).filter(isByPolicy).length >= limits().heldAtOnce) return undefined;
  const session: NewSession = {
    id: parseSessionId(`S${random.hex(8)}`),
    owner: farmName,
    builder: builder.name,
    repos: reposOf(build),
    needs: build.needs,
    from: { kind: 'held', build: work.build, attempt: work.attempt, forMs, policy: true },
    note: endText(end).slice(0, 500),
    createdAt: at,
    state: { kind: 'waiting', since: at },
  };
  const alias = (live: readonly Session[]): string => freeAlias(farmName, builder.name, (name) => live.some((one) => one.alias === name));
  await appendAudit(sql, { at, who: farmName, what: 'build.hold', target: work.build, from: '', detail: { session: session.id, forMs } });
  return insertSession(sql, session, alias);
}

export function isByPolicy({ from }: Pick<Session, 'from'>): boolean {
  return from.kind === 'held' && from.policy === true;
}

export function reposOf({ revisions }: Pick<StoredBuild, 'revisions'>): Session['repos'] {
  return [...new Set(revisions.map(({ repo }) => repo))];
}

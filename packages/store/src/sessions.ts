/** Sessions: one row each, with the state that `@croft/domain/session` moves, until retention forgets it. Those that have not ended are few. */
import type { Needs } from '@croft/domain/job';
import type { BuilderName, BuildId, RepoName, SessionId } from '@croft/domain/names';
import type { SessionFrom, SessionState } from '@croft/domain/session';
import { CroftError } from '@croft/runtime/errors';
import { nextNumber } from './counters.ts';
import type { Sql } from './database.ts';

export interface NewSession {
  readonly id: SessionId;
  readonly owner: string;
  readonly builder: BuilderName;
  /** Whoever may see some repositories only must see all of these. */
  readonly repos: readonly RepoName[];
  readonly needs: Needs;
  readonly from: SessionFrom;
  readonly note: string;
  readonly createdAt: number;
  readonly state: SessionState;
}

export interface Session extends NewSession {
  /** Place in the order of arrival, among builds too; unique. */
  readonly seq: number;
  readonly alias: string;
  readonly sharedWith: readonly string[];
}

/** @param admit told which have not ended, gives an alias that none of them has, or throws; nobody else is admitted meanwhile */
export async function insertSession(sql: Sql, session: NewSession, admit: (live: readonly Session[]) => string): Promise<Session> {
  const seq = await nextNumber(sql, 'builds');
  const alias = admit(await liveSessions(sql));
  const { id, owner, builder, repos, needs, from, note, createdAt, state } = session;
  const text = `INSERT INTO sessions (id, seq, alias, owner, builder, repos, needs, source, build, note, shared_with, created_at,
    state, state_json, ended_at) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, '[]', ?, ?, ?, ?)`;
  const build = from.kind === 'asked' ? null : from.build;
  const lists = [JSON.stringify(repos), JSON.stringify(needs), JSON.stringify(from)];
  await sql.run(text, [id, seq, alias, owner, builder, ...lists, build, note, createdAt, ...stateColumns(state)]);
  return { ...session, seq, alias, sharedWith: [] };
}

/** The session, which nobody else can change until this transaction ends. @throws CroftError `not-found` */
export async function getSessionForUpdate(sql: Sql, id: SessionId): Promise<Session> {
  const row = await sql.get<SessionRow>(`SELECT ${columns} FROM sessions WHERE id = ?${sql.forUpdate}`, [id]);
  if (!row) throw new CroftError('not-found', `there is no session ${id}`);
  return toSession(row);
}

export async function getSession(sql: Sql, id: SessionId): Promise<Session | undefined> {
  const row = await sql.get<SessionRow>(`SELECT ${columns} FROM sessions WHERE id = ?`, [id]);
  return row && toSession(row);
}

/** The one of this alias that has not ended. */
export async function liveSessionByAlias(sql: Sql, alias: string): Promise<Session | undefined> {
  const row = await sql.get<SessionRow>(`SELECT ${columns} FROM sessions WHERE alias = ? AND state <> 'ended'`, [alias]);
  return row && toSession(row);
}

/** Those that have not ended, oldest first. */
export async function liveSessions(sql: Sql, of: { readonly build?: BuildId } = {}): Promise<Session[]> {
  const text = `SELECT ${columns} FROM sessions WHERE state <> 'ended' ${of.build === undefined ? '' : 'AND build = ?'} ORDER BY seq`;
  const rows = await sql.all<SessionRow>(text, of.build === undefined ? [] : [of.build]);
  return rows.map(toSession);
}

/** Those that have ended, latest first. */
export async function endedSessions(sql: Sql, limit: number): Promise<Session[]> {
  const text = `SELECT ${columns} FROM sessions WHERE state = 'ended' ORDER BY ended_at DESC LIMIT ?`;
  return (await sql.all<SessionRow>(text, [limit])).map(toSession);
}

/** Forgets those that ended before then, oldest first. @returns how many; fewer than `limit` once none is left */
export async function forgetSessions(sql: Sql, { endedBefore, limit }: { endedBefore: number; limit: number }): Promise<number> {
  const old = `SELECT id FROM sessions WHERE state = 'ended' AND ended_at < ? ORDER BY ended_at LIMIT ?`;
  return sql.run(`DELETE FROM sessions WHERE id IN (${old})`, [endedBefore, limit]);
}

/** How many there are in each state but the last. */
export async function countSessions(sql: Sql): Promise<Partial<Record<SessionState['kind'], number>>> {
  const text = `SELECT state, count(*) AS count FROM sessions WHERE state <> 'ended' GROUP BY state`;
  const rows = await sql.all<{ state: SessionState['kind']; count: number }>(text);
  return Object.fromEntries(rows.map(({ state, count }) => [state, count]));
}

/** Replaces the state; the caller has it from `advanceSession` on what `getSessionForUpdate` gave. */
export async function saveSessionState(sql: Sql, id: SessionId, state: SessionState): Promise<void> {
  await sql.run('UPDATE sessions SET state = ?, state_json = ?, ended_at = ? WHERE id = ?', [...stateColumns(state), id]);
}

export async function describeSession(
  sql: Sql,
  id: SessionId,
  { note, sharedWith }: Partial<Pick<Session, 'note' | 'sharedWith'>>,
): Promise<void> {
  const shared = sharedWith === undefined ? null : JSON.stringify(sharedWith);
  const text = 'UPDATE sessions SET note = coalesce(?, note), shared_with = coalesce(?, shared_with) WHERE id = ?';
  await sql.run(text, [note ?? null, shared, id]);
}

function stateColumns(state: SessionState): [string, string, number | null] {
  return [state.kind, JSON.stringify(state), state.kind === 'ended' ? state.at : null];
}

const columns = 'id, seq, alias, owner, builder, repos, needs, source, note, shared_with, created_at, state_json';

interface SessionRow {
  readonly id: SessionId;
  readonly seq: number;
  readonly alias: string;
  readonly owner: string;
  readonly builder: BuilderName;
  readonly repos: string;
  readonly needs: string;
  readonly source: string;
  readonly note: string;
  readonly shared_with: string;
  readonly created_at: number;
  readonly state_json: string;
}

function toSession(row: SessionRow): Session {
  const { id, seq, alias, owner, builder, note, created_at: createdAt } = row;
  return {
    id,
    seq,
    alias,
    owner,
    builder,
    note,
    createdAt,
    repos: JSON.parse(row.repos) as RepoName[],
    needs: JSON.parse(row.needs) as Needs,
    from: JSON.parse(row.source) as SessionFrom,
    sharedWith: JSON.parse(row.shared_with) as string[],
    state: JSON.parse(row.state_json) as SessionState,
  };
}

/** Many builds at once: the queue in the order of scheduling, lists for people, the cells of a grid. */
import { bands, type Band } from '@croft/domain/job';
import type { BuilderName, BuildId, RepoName, Revision } from '@croft/domain/names';
import type { BuildState } from '@croft/domain/build';
import { compareWaiting } from '@croft/domain/schedule';
import { buildColumns, toBuild, type BuildRow, type StoredBuild } from './builds.ts';
import type { Sql } from './database.ts';
import { placeholders } from './sql-text.ts';

/** A `WaitingBuild` of `@croft/domain/schedule`. */
export interface QueuedBuild extends StoredBuild {
  readonly notBefore: number;
}

interface Head {
  readonly limit: number;
  /** Only theirs; those of others are passed over. */
  readonly builders?: readonly BuilderName[] | undefined;
  /** Those that rest at this moment are passed over, epoch ms. */
  readonly restedAt?: number | undefined;
}

/** The head of the queue, most urgent first: up to `limit` builds for each kind of machine needed. */
export async function queuedBuilds(sql: Sql, { limit, builders, restedAt }: Head): Promise<QueuedBuild[]> {
  const found: QueuedBuild[] = [];
  const theirs = builders ? `AND builder || '' IN (${placeholders(builders.length)})` : ''; // so written, the order keeps its index
  const rested = restedAt === undefined ? '' : 'AND not_before <= ?';
  const text = `SELECT ${buildColumns} FROM builds WHERE queue = ? ${theirs} ${rested} ORDER BY band, seq LIMIT ?`;
  if (builders?.length === 0) return [];
  for (const key of await queuedNeeds(sql)) {
    const rows = await sql.all<BuildRow>(text, [key, ...(builders ?? []), ...(restedAt === undefined ? [] : [restedAt]), limit]);
    found.push(...rows.map((row) => ({ ...toBuild(row), notBefore: row.not_before ?? 0 })));
  }
  return found.toSorted(compareWaiting);
}

/** Whether any build, or any session, waits for a machine. */
export async function anybodyWaits(sql: Sql): Promise<boolean> {
  const session = `SELECT 1 FROM sessions WHERE state <> 'ended' AND state = 'waiting'`; // the first is what the index is for
  return (await sql.get(`SELECT 1 WHERE EXISTS (SELECT 1 FROM builds WHERE queue IS NOT NULL) OR EXISTS (${session})`)) !== undefined;
}

/** The distinct needs of queued builds: one step in the index for each, however long the queue is. */
async function queuedNeeds(sql: Sql): Promise<string[]> {
  const text = `WITH RECURSIVE keys(key) AS (
      SELECT (SELECT queue FROM builds WHERE queue IS NOT NULL ORDER BY queue LIMIT 1)
      UNION ALL
      SELECT (SELECT queue FROM builds WHERE queue > key ORDER BY queue LIMIT 1) FROM keys WHERE key IS NOT NULL
    ) SELECT key FROM keys WHERE key IS NOT NULL`;
  const rows = await sql.all<{ key: string }>(text);
  return rows.map(({ key }) => key);
}

export interface QueuePlace {
  /** From `needsKey` of `@croft/domain/schedule`. */
  readonly needsKey: string;
  readonly band: Band;
  readonly seq: number;
}

/** How many queued builds that need the same kind of machine come before this place. */
export async function countQueuedBefore(sql: Sql, { needsKey, band, seq }: QueuePlace): Promise<number> {
  const text = `SELECT
      (SELECT count(*) FROM builds WHERE queue = ? AND band < ?)
      + (SELECT count(*) FROM builds WHERE queue = ? AND band = ? AND seq < ?) AS count`;
  const index = bands.indexOf(band);
  const row = await sql.get<{ count: number }>(text, [needsKey, index, needsKey, index, seq]);
  return row?.count ?? 0;
}

/** How many builds have not ended. (Those that have are not counted: there is no end to them.) */
export async function countByState(sql: Sql): Promise<Record<'queued' | 'running' | 'cancelling', number>> {
  const text = `SELECT
      (SELECT count(*) FROM builds WHERE state = 'queued') AS queued,
      (SELECT count(*) FROM builds WHERE state = 'running') AS running,
      (SELECT count(*) FROM builds WHERE state = 'cancelling') AS cancelling`;
  return (await sql.get(text)) ?? { queued: 0, running: 0, cancelling: 0 };
}

/** How many builds wait in each band; bands without any are left out. */
export async function countQueuedByBand(sql: Sql): Promise<Partial<Record<Band, number>>> {
  const counts: Partial<Record<Band, number>> = {};
  const text = 'SELECT band, count(*) AS count FROM builds WHERE queue = ? GROUP BY band';
  for (const key of await queuedNeeds(sql)) {
    for (const row of await sql.all<{ band: number; count: number }>(text, [key])) {
      const band = bands[row.band];
      if (band) counts[band] = (counts[band] ?? 0) + row.count;
    }
  }
  return counts;
}

/** How many builds wait for each kind of machine. */
export async function countQueuedByNeeds(sql: Sql): Promise<{ labels: readonly string[]; count: number }[]> {
  const text = 'SELECT queue, count(*) AS count FROM builds WHERE queue IS NOT NULL GROUP BY queue';
  const rows = await sql.all<{ queue: string; count: number }>(text);
  return rows.map(({ queue, count }) => ({ labels: JSON.parse(queue) as string[], count }));
}

export interface BuildFilter {
  readonly repo?: RepoName | undefined;
  readonly builder?: BuilderName | undefined;
  readonly revision?: Revision | undefined;
  readonly state?: BuildState['kind'] | undefined;
  readonly limit: number;
  /** A `seq`, exclusive: that of the last build of the page before. */
  readonly before?: number | undefined;
}

/** Newest first. */
export async function listBuilds(sql: Sql, { repo, builder, revision, state, limit, before }: BuildFilter): Promise<StoredBuild[]> {
  const named = [
    ['revision', revision],
    ['builder', builder],
    ['repo', repo],
  ] as const;
  const few = state === 'running' || state === 'cancelling';
  const filters = few ? [['state', state] as const, ...named] : [...named, ['state', state] as const];
  // The planner cannot know which filter tells most: the first here does, and the others are written in a way that no index serves.
  const [first, ...others] = filters.filter(([, value]) => value !== undefined);
  const terms = [
    ...(first ? [`${first[0]} = ?`] : []),
    ...others.map(([column]) => `${column} || '' = ?`),
    ...(before === undefined ? [] : ['seq < ?']),
  ];
  const values = [first?.[1], ...others.map(([, value]) => value), before].filter((value) => value !== undefined);
  const where = terms.length > 0 ? `WHERE ${terms.join(' AND ')}` : '';
  const rows = await sql.all<BuildRow>(`SELECT ${buildColumns} FROM builds ${where} ORDER BY seq DESC LIMIT ?`, [...values, limit]);
  return rows.map(toBuild);
}

/** Every build whose first revision is one of these, in the order of arrival within each chunk of revisions. */
export async function buildsOfCommits(sql: Sql, repo: RepoName, revisions: readonly Revision[]): Promise<StoredBuild[]> {
  const found: StoredBuild[] = [];
  for (let from = 0; from < revisions.length; from += chunk) {
    const part = revisions.slice(from, from + chunk);
    const text = `SELECT ${buildColumns} FROM builds WHERE revision IN (${placeholders(part.length)}) AND repo || '' = ? ORDER BY seq`;
    found.push(...(await sql.all<BuildRow>(text, [...part, repo])).map(toBuild));
  }
  return found;
}

/** Of other repositories' commits that were built together with this one, newest first. */
export async function buildsBeside(
  sql: Sql,
  repo: RepoName,
  { revision, limit }: { revision: Revision; limit: number },
): Promise<StoredBuild[]> {
  const text = `SELECT ${buildColumns} FROM builds WHERE beside = ? ORDER BY seq DESC LIMIT ?`;
  return (await sql.all<BuildRow>(text, [`${repo}@${revision}`, limit])).map(toBuild);
}

/** Those whose id begins so: `B` and hexadecimal digits. */
export async function buildsByPrefix(sql: Sql, prefix: string, limit: number): Promise<StoredBuild[]> {
  const text = `SELECT ${buildColumns} FROM builds WHERE id >= ? AND id < ? ORDER BY id LIMIT ?`;
  return (await sql.all<BuildRow>(text, [prefix, `${prefix}g`, limit])).map(toBuild);
}

/** The builds that have a driver: running or being cancelled, oldest first. */
export async function runningBuilds(sql: Sql, { limit }: { readonly limit?: number } = {}): Promise<StoredBuild[]> {
  const text = `SELECT ${buildColumns} FROM builds WHERE state IN ('running', 'cancelling') ORDER BY seq`;
  const rows = await sql.all<BuildRow>(limit === undefined ? text : `${text} LIMIT ?`, limit === undefined ? [] : [limit]);
  return rows.map(toBuild);
}

/** Those of the ids that exist. */
export async function getBuilds(sql: Sql, ids: readonly BuildId[]): Promise<StoredBuild[]> {
  const found: StoredBuild[] = [];
  for (let from = 0; from < ids.length; from += chunk) {
    const part = ids.slice(from, from + chunk);
    const rows = await sql.all<BuildRow>(`SELECT ${buildColumns} FROM builds WHERE id IN (${placeholders(part.length)})`, part);
    found.push(...rows.map(toBuild));
  }
  return found;
}

const chunk = 200;

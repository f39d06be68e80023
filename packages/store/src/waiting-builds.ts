/** Builds that wait, in groups about which a configuration says the same: what a changed configuration has to settle. */
import { bands, type Band, type Needs, type Trigger } from '@croft/domain/job';
import type { BuilderName, RepoName } from '@croft/domain/names';
import { needsKey } from '@croft/domain/schedule';
import { buildColumns, toBuild, type BuildRow, type StoredBuild } from './builds.ts';
import type { Sql } from './database.ts';

export interface WaitingGroup {
  readonly builder: BuilderName;
  /** Of the first revision. */
  readonly repo: RepoName;
  readonly trigger: Trigger;
  readonly band: Band;
  readonly needs: Needs;
}

interface GroupRow {
  readonly builder: BuilderName;
  readonly repo: RepoName;
  readonly trigger_kind: Trigger['kind'];
  readonly trigger_ref: string;
  readonly band: number;
  readonly needs: string;
}

const columns = 'builder, repo, trigger_kind, trigger_ref, band, needs';

export async function waitingGroups(sql: Sql): Promise<WaitingGroup[]> {
  const rows = await sql.all<GroupRow>(`SELECT DISTINCT ${columns} FROM builds WHERE queue IS NOT NULL ORDER BY ${columns}`);
  return rows.map(({ builder, repo, trigger_kind, trigger_ref, band, needs }) => ({
    builder,
    repo,
    trigger: { kind: trigger_kind, ref: trigger_ref },
    band: bands[band] ?? 'back-fill',
    needs: JSON.parse(needs) as Needs,
  }));
}

/** The oldest of a group. */
export async function waitingOf(sql: Sql, group: WaitingGroup, limit: number): Promise<StoredBuild[]> {
  const text = `SELECT ${buildColumns} FROM builds WHERE ${ofGroup} ORDER BY seq LIMIT ?${sql.forUpdate}`;
  return (await sql.all<BuildRow>(text, [...keyOf(group), limit])).map(toBuild);
}

/** Gives those of a group that still wait another place in the queue. */
export async function moveWaiting(sql: Sql, group: WaitingGroup, { band, needs }: Pick<WaitingGroup, 'band' | 'needs'>): Promise<void> {
  const values = [bands.indexOf(band), JSON.stringify(needs), needsKey(needs)];
  await sql.run(`UPDATE builds SET band = ?, needs = ?, needs_key = ? WHERE ${ofGroup}`, [...values, ...keyOf(group)]);
}

const ofGroup = `queue = ? AND band = ? AND builder || '' = ? AND repo || '' = ? AND trigger_kind = ? AND trigger_ref = ? AND needs = ?`;

function keyOf({ builder, repo, trigger, band, needs }: WaitingGroup): (string | number)[] {
  return [needsKey(needs), bands.indexOf(band), builder, repo, trigger.kind, trigger.ref, JSON.stringify(needs)];
}

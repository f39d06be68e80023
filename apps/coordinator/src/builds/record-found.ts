/** Stores what a look at a repository found: its commits, its branches, and the builds that do not exist yet. */
import type { Clock } from '@croft/runtime/clock';
import { insertBuild, isBuiltBeside } from '@croft/store/builds';
import { branches as knownBranches, deleteBranch, recordBranch } from '@croft/store/commits';
import type { Database, Sql } from '@croft/store/database';
import { recordFetch, upsertRepo } from '@croft/store/repos';
import type { NewBuild } from './find-work.ts';
import type { WorkRecords } from './look.ts';

/** Builds in one transaction: others wait to write meanwhile. A crash in between costs nothing, the next look finds the rest. */
const batch = 500;

export function createWorkRecords(db: Pick<Database, 'write'>, clock: Clock): WorkRecords {
  const insertAll = async (sql: Sql, builds: readonly NewBuild[], at: number): Promise<string[]> => {
    const queued: string[] = [];
    for (const { fills, ...build } of builds) {
      if (fills && (await isBuiltBeside(sql, build))) continue;
      if (await insertBuild(sql, { ...build, createdAt: at })) queued.push(build.id);
    }
    return queued;
  };
  return {
    async recordFound({ repo, url, defaultBranch, heads, branches, builds, problem }) {
      const at = clock.now();
      const queued = await db.write(async (sql) => {
        await upsertRepo(sql, { name: repo, url });
        await recordFetch(sql, repo, { at, heads, defaultBranch });
        if (problem !== undefined) await recordFetch(sql, repo, { at, error: problem });
        for (const { branch } of await knownBranches(sql, repo)) if (!Object.hasOwn(heads, branch)) await deleteBranch(sql, repo, branch);
        for (const tip of branches) await recordBranch(sql, repo, tip);
        return insertAll(sql, builds.slice(0, batch), at);
      });
      for (let from = batch; from < builds.length; from += batch) {
        queued.push(...(await db.write((sql) => insertAll(sql, builds.slice(from, from + batch), at))));
      }
      return queued;
    },
    recordFetchError: (repo, url, error) =>
      db.write(async (sql) => {
        await upsertRepo(sql, { name: repo, url });
        await recordFetch(sql, repo, { at: clock.now(), error });
      }),
  };
}

/** Stores what a look at a repository found: its commits, its branches and the builds that are missing, in one transaction. */
import type { Clock } from '@croft/runtime/clock';
import { insertBuild } from '@croft/store/builds';
import { branches as knownBranches, deleteBranch, recordBranch } from '@croft/store/commits';
import type { Database } from '@croft/store/database';
import { recordFetch, upsertRepo } from '@croft/store/repos';
import type { WorkRecords } from './find-loop.ts';

export function createWorkRecords(db: Database, clock: Clock): WorkRecords {
  return {
    recordFound: ({ repo, url, defaultBranch, heads, branches, builds }) =>
      db.write(async (sql) => {
        const at = clock.now();
        await upsertRepo(sql, { name: repo, url });
        await recordFetch(sql, repo, { at, heads, defaultBranch });
        for (const { branch } of await knownBranches(sql, repo)) if (!(branch in heads)) await deleteBranch(sql, repo, branch);
        for (const tip of branches) await recordBranch(sql, repo, tip);
        const queued: string[] = [];
        for (const build of builds) if (await insertBuild(sql, { ...build, createdAt: at })) queued.push(build.id);
        return queued;
      }),
    recordFetchError: (repo, url, error) =>
      db.write(async (sql) => {
        await upsertRepo(sql, { name: repo, url });
        await recordFetch(sql, repo, { at: clock.now(), error });
      }),
  };
}

/** Looking through the farm for a caller that is limited to some repositories: of the others nothing is known. */
import type { BuildSummary } from '@croft/protocol/api';
import { CroftError } from '@croft/runtime/errors';
import type { Browse, BuilderOverview } from './browse.ts';
import { rateOf } from './read-builders.ts';

export function scopedBrowse(all: Browse, allowed: (repo: string) => boolean): Browse {
  const checked = (repo: string): string => {
    if (!allowed(repo)) throw new CroftError('not-found', `no repository is called ${JSON.stringify(repo.slice(0, 100))}`);
    return repo;
  };
  const own = ({ repo }: BuildSummary): boolean => allowed(repo);
  const limited = <T extends BuilderOverview>(builder: T): T => {
    const recent = builder.recent.filter(own);
    return { ...builder, repos: builder.repos.filter(allowed), recent, rate: rateOf(recent) };
  };
  return {
    repos: async ({ page }) => all.repos({ page, allowed }),
    repo: async (name) => all.repo(checked(name)),
    async commit(repo, revision) {
      const detail = await all.commit(checked(repo), revision);
      const builds = detail.builds.map(({ build, beside }) => ({ build, beside: beside.filter((other) => allowed(other.repo)) }));
      return { ...detail, builds, dependents: detail.dependents.filter(({ build }) => own(build)) };
    },
    async builders({ page }) {
      const found = await all.builders({ page, allowed });
      return { ...found, rows: found.rows.map(limited) };
    },
    async builder(name) {
      const builder = limited(await all.builder(name));
      if (builder.repos.length === 0) throw new CroftError('not-found', `no builder is called ${JSON.stringify(name.slice(0, 100))}`);
      return { ...builder, waiting: builder.waiting.filter(own) };
    },
    search: async (text) => all.search(text, { allowed }),
  };
}

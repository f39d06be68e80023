/** One commit with everything that was built of it, alone and together with others. */
import { parseRepoName, parseRevision } from '@croft/domain/names';
import { CroftError } from '@croft/runtime/errors';
import { buildsBeside, buildsOfCommits } from '@croft/store/build-lists';
import type { StoredBuild } from '@croft/store/builds';
import { branchCommits, branchesOfCommit, getCommits } from '@croft/store/commits';
import type { Sql } from '@croft/store/database';
import { getRepo } from '@croft/store/repos';
import { summarize, type Outlook } from '../queries/read-builds.ts';
import { toCommitView } from '../queries/views.ts';
import type { BuildBeside, CommitDetail } from './browse.ts';

const shownDependents = 500;

/** @throws CroftError `not-found` */
export async function readCommit(sql: Sql, asked: { repo: string; revision: string }, outlook: Outlook): Promise<CommitDetail> {
  const { repo, revision } = parse(asked);
  const commit = (await getCommits(sql, repo, [revision])).get(revision);
  if (!commit) throw unknownCommit(asked);
  const places = await branchesOfCommit(sql, repo, revision);
  const preferred = (await getRepo(sql, repo))?.defaultBranch;
  const place = places.find(({ branch }) => branch === preferred) ?? places[0];
  const around = place ? await branchCommits(sql, repo, { branch: place.branch, limit: 3, before: place.position + 2 }) : [];
  const neighbour = (distance: number): CommitDetail['older'] => {
    const found = around.find(({ position }) => position === (place?.position ?? 0) + distance);
    return found && toCommitView(repo, found);
  };
  const order = new Map(outlook.builders.map(({ name }, index) => [name, index]));
  const rank = ({ builder }: StoredBuild): number => order.get(builder) ?? outlook.builders.length;
  const own = (await buildsOfCommits(sql, repo, [revision])).toSorted((a, b) => rank(a) - rank(b));
  const others = await buildsBeside(sql, repo, { revision, limit: shownDependents });
  return {
    commit: toCommitView(repo, commit),
    parents: commit.parents,
    branches: places.map(({ branch }) => branch).toSorted((a, b) => Number(b === place?.branch) - Number(a === place?.branch)),
    older: neighbour(-1),
    newer: neighbour(1),
    builds: await withOthers(sql, own, outlook),
    dependents: await withOthers(sql, others, outlook),
  };
}

/** What is no name and no hash is nothing that could be there. */
function parse(asked: { repo: string; revision: string }): {
  repo: ReturnType<typeof parseRepoName>;
  revision: ReturnType<typeof parseRevision>;
} {
  try {
    return { repo: parseRepoName(asked.repo), revision: parseRevision(asked.revision) };
  } catch {
    throw unknownCommit(asked);
  }
}

function unknownCommit({ repo, revision }: { repo: string; revision: string }): CroftError {
  return new CroftError(
    'not-found',
    `no commit ${JSON.stringify(revision.slice(0, 64))} of ${JSON.stringify(repo.slice(0, 100))} is known`,
    {
      hint: 'The farm knows the newest commits of the branches that it follows. Search finds one by the beginning of its hash.',
    },
  );
}

async function withOthers(sql: Sql, builds: readonly StoredBuild[], outlook: Outlook): Promise<BuildBeside[]> {
  const summaries = await summarize(sql, builds, outlook);
  return summaries.map((build, index) => ({ build, beside: builds[index]?.revisions.slice(1) ?? [] }));
}

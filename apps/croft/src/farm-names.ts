/** The names that `croft` completes: those of builds, builders and repositories, which only a farm knows. */
import type { BuildSummary } from '@croft/protocol/api';
import { completion, type Candidate } from '@croft/cli/completion';
import type { Client } from '@croft/web/client';
import { wordOf } from './build-text.ts';

export const addCroftCompletion = completion({
  kinds: {
    build: 'build',
    builder: 'builder',
    local: 'builder',
    repo: 'repo',
    file: 'file',
    dir: 'file',
    path: 'file',
  },
  async names(kind, { command, options }, { client, signal }) {
    if (kind === 'build') return builds(client, command, signal);
    const { repos, builders } = await client.call('grid.get', { query: { repo: options['repo'] }, signal });
    return (kind === 'repo' ? repos : builders).map((value) => ({ value, about: '' }));
  },
});

async function builds(client: Client, command: string, signal: AbortSignal): Promise<Candidate[]> {
  const limit = 100;
  const state = command === 'retry' ? 'ended' : undefined;
  const { builds: found } = await client.call('builds.list', { query: { limit, state }, signal });
  return found
    .filter((build) => command !== 'cancel' || build.state !== 'ended')
    .map((build) => ({ value: build.id, about: aboutOf(build) }));
}

function aboutOf(build: BuildSummary): string {
  return `${wordOf(build)} ${build.builder} ${build.repo}@${build.revision.slice(0, 8)}`;
}

/** Names that only a farm knows, where one is reachable at once: whoever presses Tab does not wait, and hears of no failure. */
import type { BuildSummary } from '@croft/protocol/api';
import type { Client } from '@croft/web/client';
import { wordOf } from '../build-text.ts';
import type { Cli } from '../cli.ts';
import { connect } from '../connect.ts';
import type { Candidate, Completion, Kind } from './complete.ts';

const patienceMs = 300;

/** None when it does not answer in time. */
export async function farmNames(kind: Exclude<Kind, 'file'>, { command, options }: Completion, cli: Cli): Promise<readonly Candidate[]> {
  const signal = cli.clock.deadline(patienceMs);
  try {
    const client = await connect({ server: options['server'], token: options['token'] }, cli);
    if (kind === 'build') return await builds(client, command, signal);
    const { repos, builders } = await client.call('grid.get', { query: { repo: options['repo'] }, signal });
    return (kind === 'repo' ? repos : builders).map((value) => ({ value, about: '' }));
  } catch {
    return [];
  }
}

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

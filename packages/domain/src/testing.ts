/** A builder for tests, with everything that a test does not care about. */
import type { Builder } from './job.ts';
import { parseBuilderName, parseRepoName } from './names.ts';

export function anyBuilder(differs: Partial<Builder> = {}): Builder {
  return {
    name: parseBuilderName('test'),
    repos: [parseRepoName('app')],
    hostType: undefined,
    steps: 'detect',
    env: {},
    secrets: {},
    needs: { labels: [] },
    isolation: 'none',
    trust: 'trusted',
    artifacts: [],
    caches: [],
    services: [],
    retention: { logAgeMs: 1e9, logBytes: 1e9, artifactBytes: 1e9 },
    source: { submodules: false, lfs: false },
    checkout: { git: false, depth: 1 },
    shell: { env: {}, path: [], secrets: false },
    priority: 'post-submit',
    branches: [],
    paths: [],
    knownIssues: [],
    variant: {},
    ...differs,
  };
}

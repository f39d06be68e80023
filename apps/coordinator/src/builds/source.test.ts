import assert from 'node:assert/strict';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { createRepo } from '@croft/forge/testing';
import { systemClock } from '@croft/runtime/clock';
import { openBench, repo } from './testing.ts';
import { openSources } from './source.ts';

test('a file that decides and is too large to be read is the commit’s mistake', async () => {
  const dir = await mkdtemp(join(tmpdir(), 'croft-source-'));
  await using stack = new AsyncDisposableStack();
  stack.defer(() => rm(dir, { recursive: true, force: true }));
  const made = createRepo(join(dir, 'repo'));
  made.write('package.json', ' '.repeat(2_000_000));
  const revision = made.commit('large');
  const config = { name: repo, url: made.dir, branches: [], depth: 1, pollMs: 1_000, paths: [], hookSecret: undefined };
  const { forBuilds } = stack.use(openSources([config], { dir: join(dir, 'mirrors'), clock: systemClock }));
  const bench = stack.use(await openBench([]));
  const builder = { ...bench.builder, steps: 'detect' as const };
  assert.match(
    String(await forBuilds.plan({ builder, revisions: [{ repo, revision }] }, {})),
    /^package\.json of this commit is larger than/,
  );
});

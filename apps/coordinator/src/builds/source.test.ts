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

test('a repository whose address was edited is read from there, by the mirror that was open, which keeps what it has', async () => {
  const dir = await mkdtemp(join(tmpdir(), 'croft-source-'));
  await using stack = new AsyncDisposableStack();
  stack.defer(() => rm(dir, { recursive: true, force: true }));
  const [before, after] = ['before', 'after'].map((name) => {
    const made = createRepo(join(dir, name));
    made.write('name', name);
    return { url: made.dir, revision: made.commit(name) };
  });
  assert.ok(before && after);
  const config = { name: repo, url: before.url, branches: [], depth: 1, pollMs: 1_000, paths: [], hookSecret: undefined };
  const sources = stack.use(openSources([config], { dir: join(dir, 'mirrors'), clock: systemClock }));
  const mirror = await sources.mirror(repo);
  await mirror.fetch({});
  sources.declare([{ ...config, url: after.url }]);
  const [one, other] = await Promise.all([sources.mirror(repo), sources.mirror(repo)]);
  assert.ok(one === mirror && other === mirror);
  await mirror.fetch({});
  for (const { revision } of [before, after]) assert.equal((await mirror.tree(revision, {})).length, 1);
  assert.deepEqual(
    (await mirror.branches({})).map(({ revision }) => revision),
    [after.revision],
  );
});

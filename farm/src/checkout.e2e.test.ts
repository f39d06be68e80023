/** A builder that asks for history gets a repository, one that does not gets the bare tree. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { endedBuild, foundBuilds, logOf } from './testing-builds.ts';
import { makeRepo } from './testing-repo.ts';
import { startFarm } from './testing.ts';

test('a step asks git about its commit where the builder wants a checkout, and finds no repository elsewhere', async () => {
  await using repo = await makeRepo({ file: '1' });
  await repo.commit({ file: '2' });
  const head = await repo.commit({ file: '3', 'sub/new': 'x' });
  const ask = 'git rev-parse HEAD; git rev-list --count HEAD; git status --porcelain; git log -1 --format=%s; ls -A';
  const steps = [{ name: 'ask', argv: ['sh', '-c', ask], env: { GIT_CEILING_DIRECTORIES: '/', GIT_CONFIG_NOSYSTEM: '1' } }];
  const builders = [
    { name: 'bare', repo: 'app', steps: [{ name: 'ask', argv: ['ls', '-A'] }] },
    { name: 'two', repo: 'app', steps, checkout: { depth: 2 } },
    { name: 'full', repo: 'app', steps, checkout: { git: true, depth: 'full' as const } },
  ];
  await using farm = await startFarm({
    config: { repos: [{ name: 'app', url: repo.dir, depth: 1 }], builders, pools: [{ kind: 'local' }] },
  });
  const logs: Record<string, string> = {};
  for (const { id, builder } of await foundBuilds(farm, 3)) {
    assert.deepEqual((await endedBuild(farm, id)).end, { kind: 'passed' });
    logs[builder] = (await logOf(farm, id)).toString();
  }
  const checkedOut = (commits: number): string => `${head}\n${commits}\ncommit 3\n.git\nfile\nsub\n`;
  assert.deepEqual(logs, { bare: 'file\nsub\n', two: checkedOut(2), full: checkedOut(3) });
});

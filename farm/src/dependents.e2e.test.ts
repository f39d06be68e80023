import assert from 'node:assert/strict';
import { test } from 'node:test';
import { endedBuild, logOf, listBuilds } from './testing-builds.ts';
import { makeRepo } from './testing-repo.ts';
import { startFarm } from './testing.ts';

test('a repository is built with its toolchain: both trees lie side by side, and a commit of either makes a build of the pair', async () => {
  await using compiler = await makeRepo({ version: 'compiler one\n' });
  await using app = await makeRepo({ version: 'app one\n' });
  const steps = [{ name: 'read', argv: ['sh', '-c', 'cat version "$WORKDIR/compiler/version"'] }];
  const config = {
    repos: [
      { name: 'app', url: app.dir, pollMs: '200ms' },
      { name: 'compiler', url: compiler.dir, pollMs: '200ms' },
    ],
    builders: [{ name: 'pair', repo: 'app', steps }],
    dependents: [{ toolchain: 'compiler', repos: ['app'] }],
    pools: [{ kind: 'local' as const }],
  };
  await using farm = await startFarm({ config });
  const outputOf = async (revision: string, tool: string): Promise<string> => {
    const { id } = await farm.waitFor(`${revision} with ${tool}`, async () =>
      (await listBuilds(farm)).find((build) => build.revision === revision && build.beside?.[0]?.revision === tool),
    );
    assert.deepEqual((await endedBuild(farm, id)).end, { kind: 'passed' });
    return (await logOf(farm, id)).toString();
  };
  const [first, tool] = [app.head, compiler.head];
  assert.equal(await outputOf(first, tool), 'app one\ncompiler one\n');
  const better = await compiler.commit({ version: 'compiler two\n' });
  assert.equal(await outputOf(first, better), 'app one\ncompiler two\n');
  const second = await app.commit({ version: 'app two\n' });
  assert.equal(await outputOf(second, better), 'app two\ncompiler two\n');
  assert.equal((await listBuilds(farm)).length, 3);
});

/** The command line against a real farm; and what a farm does with a commit, done again by `croft run --local`. */
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { endedBuild, logOf, onlyBuild } from './testing-builds.ts';
import { makeRepo } from './testing-repo.ts';
import { startFarm } from './testing.ts';

const main = fileURLToPath(new URL('../../apps/croft/src/main.ts', import.meta.url));

interface Ran {
  readonly status: number;
  readonly stdout: string;
  readonly stderr: string;
}

function croft(args: readonly string[], cwd: string): Promise<Ran> {
  return new Promise((resolve) => {
    execFile(process.execPath, [main, ...args], { cwd }, (error, stdout, stderr) => {
      const code: unknown = error?.code ?? 0;
      resolve({ status: typeof code === 'number' ? code : 1, stdout, stderr });
    });
  });
}

test('each command that looks at a farm understands a real one', async () => {
  await using repo = await makeRepo({ '.ci/run': '#!/bin/sh\nexit 1\n' });
  await using farm = await startFarm({ repo: repo.dir });
  const { id, builder, repo: name } = await onlyBuild(farm);
  await endedBuild(farm, id);
  const on = async (...args: string[]): Promise<string> => {
    const { status, stdout, stderr } = await croft([...args, '--server', farm.url], repo.dir);
    assert.equal(status, 0, stderr);
    return stdout;
  };
  assert.match(await on('grid'), /^ci\nx {2}[0-9a-f]{8} {2}/);
  assert.match(await on('builders'), new RegExp(`^ci +failed +${id}`));
  assert.match(await on('repos'), new RegExp(`^${name} +main +fetched`));
  assert.match(await on('farm'), /^Croft .*\n\nlocal-1 +ready/);
  assert.match(await on('records', id), /attempt 1/);
  assert.match(await on('whoami'), /admin/);
  assert.deepEqual(JSON.parse(await on('config', 'show')).repos[0].name, name);
  assert.equal(await on('retry', '--builder', builder, '--dry-run'), `${id} would be queued again\n`);
  assert.equal(await on('retry', '--repo', name), `${id} queued again\n`);
  assert.match(await on('audit'), new RegExp(`retry.*${id}`));
  const again = await endedBuild(farm, id);
  assert.equal(again.attempts, 2);
});

test('a builder runs here as on the farm: the same steps, tree, environment and verdict', async () => {
  const look = 'find . -type f -o -type l | LC_ALL=C sort; env | cut -d= -f1 | LC_ALL=C sort; basename "$PWD"; umask';
  await using repo = await makeRepo({
    Makefile: `test:\n\t@${look.replaceAll('$', '$$')}\n\t@exit 3\n`,
    'src/a': 'a\n',
    '.gitignore': '/out\n',
  });
  await using farm = await startFarm({ repo: repo.dir });
  const { id } = await onlyBuild(farm);
  const build = await endedBuild(farm, id);
  for (const more of [[], ['--committed']]) {
    const here = await croft(['run', '--local', 'ci', '--json', ...more], repo.dir);
    const { end, steps } = JSON.parse(here.stdout);
    assert.deepEqual(end, build.end);
    assert.deepEqual(
      steps.map((step: { name: string }) => step.name),
      build.attemptList[0]?.steps.slice(1).map((step) => step.name),
    );
    const output = here.stderr.slice(here.stderr.indexOf('./.gitignore'), here.stderr.indexOf('failed in'));
    assert.equal(output, (await logOf(farm, id)).toString());
  }
});

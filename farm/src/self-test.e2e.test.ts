import assert from 'node:assert/strict';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import type { ConfigInput } from '@croft/config/define-config';
import type { BuildDetail, Farm } from '@croft/protocol/api';
import { endedBuild, listBuilds } from './testing-builds.ts';
import { makeRepo } from './testing-repo.ts';
import { makeStage } from './testing-stage.ts';
import { startFarm } from './testing.ts';

test('a machine without a tool of its host type takes no work and says which, and works once the tool is not asked for', async () => {
  await using stage = await makeStage();
  await using repo = await makeRepo(stage.script('say built'));
  const config = (tools: readonly string[]): Partial<ConfigInput> => ({
    repos: [{ name: 'repo', url: repo.dir }],
    hostTypes: [{ name: 'big', tools: [...tools] }],
    builders: [{ name: 'ci', repo: 'repo', steps: 'detect', hostType: 'big' }],
    pools: [{ kind: 'local', size: 1, hostType: 'big' }],
  });
  await using farm = await startFarm({ config: config(['sh', 'no-such-tool']) });
  const why = 'did not pass its self-test (tool no-such-tool)';
  const machine = await farm.waitFor('a machine that has tested itself', async () =>
    (await farm.api<Farm>('GET', '/api/v1/farm')).machines.find(({ held }) => held === why),
  );
  assert.equal(machine.next, `takes no work: it ${why}`);
  const checks = new Map(machine.selfTest?.checks.map(({ name, ok, found }) => [name, { ok, found }]));
  assert.deepEqual([checks.get('tool sh')?.ok, checks.get('clock')?.ok, checks.get('disk')?.ok], [true, true, true]);
  assert.match(checks.get('tool no-such-tool')?.found ?? '', /^not in PATH/);

  const { id } = await farm.waitFor('a build', async () => (await listBuilds(farm))[0]);
  const waiting = await farm.waitFor('the reason why it waits', async () => {
    const build = await farm.api<BuildDetail>('GET', `/api/v1/builds/${id}`);
    return build.wait?.text.includes('no-such-tool') && build;
  });
  assert.equal(waiting.state, 'queued');
  assert.match(await (await fetch(`${farm.url}/farm`)).text(), /not in PATH/);

  const port = Number(new URL(farm.url).port);
  await writeFile(join(farm.dataDir, 'config.json'), JSON.stringify({ dataDir: farm.dataDir, port, ...config(['sh']) }));
  assert.equal((await endedBuild(farm, id)).end?.kind, 'passed');
});

import assert from 'node:assert/strict';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import type { ConfigInput } from '@croft/config/define-config';
import type { BuildDetail, Farm } from '@croft/protocol/api';
import { buildThat, endedBuild, foundBuilds, listBuilds, logOf } from './testing-builds.ts';
import { makeRepo } from './testing-repo.ts';
import { makeStage } from './testing-stage.ts';
import { startFarm, type TestFarm } from './testing.ts';

type BuilderInput = NonNullable<ConfigInput['builders']>[number];

async function idOf(farm: TestFarm, builder: string): Promise<string> {
  const build = await farm.waitFor(`a build of ${builder}`, async () => (await listBuilds(farm)).find((one) => one.builder === builder));
  return build.id;
}

test('an edited configuration changes everything but what runs, a bad edit changes nothing and says so until it is mended', async () => {
  await using stage = await makeStage();
  await using repo = await makeRepo(stage.script('say begun; wait_at end; say done'));
  const builder = (name: string): BuilderInput => ({ name, repo: 'repo', steps: 'detect' });
  const config = {
    repos: [{ name: 'repo', url: repo.dir }],
    builders: [builder('runs'), builder('waits')],
    pools: [{ kind: 'local', size: 1 }],
  } as const satisfies Partial<ConfigInput>;
  await using farm = await startFarm({ config });
  const port = Number(new URL(farm.url).port);
  const edit = (text: string): Promise<void> => writeFile(join(farm.dataDir, 'config.json'), text);
  const change = (differs: Partial<ConfigInput>): Promise<void> =>
    edit(JSON.stringify({ dataDir: farm.dataDir, port, ...config, ...differs }, undefined, 1));
  const farmThat = (what: string, is: (view: Farm) => boolean): Promise<Farm> =>
    farm.waitFor(what, async () => {
      const view = await farm.api<Farm>('GET', '/api/v1/farm');
      return is(view) && view;
    });
  await foundBuilds(farm, 2);
  const running = await farm.waitFor('a build that runs', async () => (await listBuilds(farm)).find(({ state }) => state === 'running'));
  const waiting = (await listBuilds(farm)).find(({ id }) => id !== running.id) ?? assert.fail();
  await farm.waitFor('its command', () => stage.marked(`${running.id}.1.ci`, 'pid'));

  await edit(
    '{ "dataDir": "d",\n  "builders": [{ "name": "runs", "repo": "ropo" }],\n  "repos": [{ "name": "repo", "url": "/x" }], "pools": 1 }',
  );
  const refused = await farmThat('the mistakes', ({ config: state }) => state.problem !== undefined);
  const mistakes = refused.config.problem?.mistakes.map(({ line, setting, nearest }) => [line, setting, nearest]);
  assert.deepEqual(mistakes, [
    [2, 'builders.0.repo', 'repo'],
    [3, 'pools', undefined],
  ]);
  const page = await (await fetch(`${farm.url}/farm`)).text();
  assert.match(page, /has 2 mistakes/);
  assert.match(page, /config\.json:2/);
  assert.match(await (await fetch(`${farm.url}/metrics`)).text(), /^croft_config_mistakes 2$/m);

  // Its builder goes and its machine, too: it runs on; what waited for the other builder never begins.
  await change({ port: 1, builders: [builder('new')], pools: [{ kind: 'local', size: 0 }] });
  const drained = await farmThat('the new configuration', ({ config: state }) => state.problem === undefined);
  assert.deepEqual(drained.config.restart, ['port']);
  const dropped = await endedBuild(farm, waiting.id);
  assert.deepEqual(dropped.end, { kind: 'skipped', why: `builder ${waiting.builder} is not configured any more` });
  await farmThat('the machine that drains', ({ machines }) => machines[0]?.next === 'leaves the farm when its build has ended');
  const added = await idOf(farm, 'new');
  assert.equal((await buildThat(farm, added, { what: 'waits', is: ({ wait }) => wait !== undefined })).state, 'queued');
  await stage.open('end');
  const ended = await endedBuild(farm, running.id);
  assert.deepEqual([ended.end, ended.attempts], [{ kind: 'passed' }, 1]);
  assert.equal((await logOf(farm, running.id)).toString(), 'begun\ndone\n');
  await farmThat('no machine', ({ machines }) => machines.every(({ state }) => state === 'gone' || state === 'away'));

  await change({ builders: [builder('new'), builder(waiting.builder)], pools: [{ kind: 'local', size: 2 }] });
  const again = (build: BuildDetail): boolean => build.end?.kind === 'passed';
  for (const id of [added, waiting.id]) await buildThat(farm, id, { what: 'passes', is: again });
});

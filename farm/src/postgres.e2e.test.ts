import { test } from 'node:test';
import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { onPostgres, orderPostgres } from '@croft/store/testing';
import { endedBuild, foundBuilds, listBuilds, logOf, onlyBuild } from './testing-builds.ts';
import { findProcess, killAll, processesOf } from './testing-processes.ts';
import { makeRepo } from './testing-repo.ts';
import { makeStage } from './testing-stage.ts';
import { endOfFarm, startFarm } from './testing.ts';

onPostgres('the whole story', (open) => {
  test('builds, kill -9 of the coordinator and then of everything: the same ends, exact logs, and nothing left', async () => {
    await using database = await open();
    await using stage = await makeStage();
    await using repo = await makeRepo(stage.script('for n in $(seq 1 50); do say "line $n"; done; linger; wait_at end; say done'));
    await repo.commit({ a: '1\n' }, 'second');
    await using farm = await startFarm({ repo: repo.dir, args: ['--database', database.url] });
    const found = await foundBuilds(farm, 2);
    const running = await farm.waitFor('one that runs', async () => (await listBuilds(farm)).find(({ state }) => state === 'running'));
    const lingers = await farm.waitFor('its command', () => stage.markedPid(`${running.id}.1.ci`, 'lingers'));
    assert.equal(existsSync(join(farm.dataDir, 'croft.db')), false, 'nothing is kept in SQLite');

    await farm.kill9();
    assert.ok(findProcess(lingers), 'the command goes on');
    await farm.restart();
    assert.equal((await listBuilds(farm)).find(({ id }) => id === running.id)?.attempts, 1);

    killAll(processesOf(farm.dataDir).filter(({ command }) => /programs\/buildlet\.mjs/.test(command)));
    await farm.kill9();
    await farm.restart();
    await farm.waitFor('the old tree gone', () => findProcess(lingers) === undefined);
    await stage.open('end');
    for (const { id } of found) {
      const build = await endedBuild(farm, id);
      assert.deepEqual(build.end, { kind: 'passed' });
      assert.equal(build.attempts, id === running.id ? 2 : 1);
      assert.deepEqual(await logOf(farm, id, build.attempts), await stage.said(`${id}.${build.attempts}.ci`));
    }
  });

  test('PostgreSQL dies and comes back while a build runs: it ends as if nothing had been, in one attempt', async () => {
    await using database = await open();
    await using stage = await makeStage();
    await using repo = await makeRepo(
      stage.script('say before; mark before 1; wait_at meanwhile; say meanwhile; mark meanwhile 2; wait_at end; say done'),
    );
    await using farm = await startFarm({ repo: repo.dir, args: ['--database', database.url] });
    const { id } = await onlyBuild(farm);
    await farm.waitFor('the command', () => stage.marked(`${id}.1.ci`, 'before'));
    const ready = async (): Promise<number> => (await fetch(`${farm.url}/readyz`)).status;
    assert.equal(await ready(), 200);

    await orderPostgres('crash');
    await farm.waitFor('being not ready', async () => (await ready()) === 503);
    const refused = await fetch(`${farm.url}/api/v1/builds`);
    assert.equal(refused.status, 503);
    assert.match(await refused.text(), /lost with its connection: database: connect ENOENT/);
    await stage.open('meanwhile');
    await farm.waitFor('what it says meanwhile', () => stage.marked(`${id}.1.ci`, 'meanwhile'));

    await orderPostgres('start');
    await farm.waitFor('being ready', async () => (await ready()) === 200);
    await stage.open('end');
    const build = await endedBuild(farm, id);
    assert.deepEqual([build.end, build.attempts], [{ kind: 'passed' }, 1]);
    assert.deepEqual(await logOf(farm, id), await stage.said(`${id}.1.ci`));
  });

  test('a second coordinator on the same database is refused, from another data directory too', async () => {
    await using database = await open();
    await using repo = await makeRepo('#!/bin/sh\n');
    const args = ['--database', database.url];
    await using farm = await startFarm({ repo: repo.dir, args });
    const { exit, output } = await endOfFarm({ repo: repo.dir, args });
    assert.equal(exit, 3);
    assert.match(output, /croft: .*(lock|in use|another)/);
    const [build] = await foundBuilds(farm, 1);
    assert.deepEqual((await endedBuild(farm, build?.id ?? '')).end, { kind: 'passed' });
  });
});

/** A database beside the tests of a build, as people declare it: a real PostgreSQL, begun and ended by the farm. */
import assert from 'node:assert/strict';
import { chmod } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { test } from 'node:test';
import type { BuilderInput } from '@croft/config/define-config';
import { onPostgres, postgresPrograms } from '@croft/store/testing';
import { buildThat, endedBuild, logOf, onlyBuild } from './testing-builds.ts';
import { processesOf } from './testing-processes.ts';
import { makeRepo, type TestRepo } from './testing-repo.ts';
import { makeStage } from './testing-stage.ts';
import { startFarm, type FarmOptions } from './testing.ts';

function configOf(repo: TestRepo, builder: Omit<BuilderInput, 'name' | 'repo'>): NonNullable<FarmOptions['config']> {
  return {
    repos: [{ name: 'app', url: repo.dir }],
    builders: [{ name: 'integration', repo: 'app', ...builder }],
    pools: [{ kind: 'local' }],
  };
}

/** PostgreSQL does not run as root. Its data are beside the tree, where `nobody` may be. */
const database = `
set -eu
if [ "$(id -u)" = 0 ]; then chown nobody "$PGHOME"; as="setpriv --reuid=65534 --regid=65534 --clear-groups"; else as=; fi
cd "$PGHOME"
$as "$PGBIN/initdb" --pgdata="$PGHOME/data" --username=croft --auth=trust --encoding=UTF8 --locale=C --no-sync >/dev/null
exec $as "$PGBIN/postgres" -D "$PGHOME/data" -h "$HOST" -p "$PORT" -k "$PGHOME" -c fsync=off
`;

/** Speaks to it with the client that the farm itself uses. */
const client = `
  import pg from ${JSON.stringify(createRequire(import.meta.resolve('@croft/store/database')).resolve('pg'))};
  const db = new pg.Client({ host: process.env.SERVICE_DB_HOST, port: Number(process.env.SERVICE_DB_PORT), user: 'croft', database: 'postgres' });
  await db.connect();
  await db.query('CREATE TABLE IF NOT EXISTS seen (who text)');
  await db.query("INSERT INTO seen VALUES ('" + process.env.WHO + "')");
  const { rows } = await db.query("SELECT string_agg(who, ' ' ORDER BY who) AS all_of_them FROM seen");
  console.log(rows[0].all_of_them);
  await db.end();
`;

onPostgres('a database beside the tests', () => {
  test('is there for every step, over a kill -9 of the coordinator, and gone with the build', async () => {
    await using stage = await makeStage();
    await chmod(stage.dir, 0o755);
    await using home = await makeStage();
    await chmod(home.dir, 0o755);
    const bin = postgresPrograms(stage.dir);
    const query = (who: string) => ({ name: who, argv: [process.execPath, '--input-type=module', '--eval', client], env: { WHO: who } });
    const wait = { name: 'wait', argv: ['sh', '-c', `while [ ! -e ${join(stage.dir, 'go')} ]; do sleep 0.05; done`] };
    await using repo = await makeRepo({ 'ci/database': database });
    const services = [{ name: 'db', argv: ['sh', 'ci/database'], env: { PGBIN: bin, PGHOME: home.dir } }];
    await using farm = await startFarm({ config: configOf(repo, { services, steps: [query('first'), wait, query('second')] }) });
    const { id } = await onlyBuild(farm);
    const inWait = (state: string | undefined): boolean => state === 'running';
    await buildThat(farm, id, { what: 'waits in its second step', is: ({ attemptList }) => inWait(attemptList[0]?.steps[2]?.state) });
    assert.equal((await logOf(farm, id)).toString(), 'first\n');
    await farm.kill9();
    await farm.restart();
    await stage.open('go');
    const build = await endedBuild(farm, id);
    assert.deepEqual([build.end, build.attempts], [{ kind: 'passed' }, 1]);
    assert.equal((await logOf(farm, id)).toString(), 'first\nfirst second\n');
    const response = await fetch(`${farm.url}/builds/${id}/attempts/1/artifacts/service-db/db.log`);
    assert.match(await response.text(), /database system is ready to accept connections/);
    assert.deepEqual(
      processesOf(home.dir).filter(({ command }) => command.includes('postgres')),
      [],
    );
  });
});

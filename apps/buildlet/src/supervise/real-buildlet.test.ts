import assert from 'node:assert/strict';
import { chmod, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { createBuildlet } from '@croft/buildlet/client';
import type { BuildletStatus } from '@croft/protocol/runs';
import { systemClock } from '@croft/runtime/clock';
import { endOf, isAlive, readOutput, runId, shell, until } from '../testing.ts';
import { openTestFarm, startSupervisor } from './testing.ts';

const main = new URL('../main.ts', import.meta.url).href;
/** The buildlet of these sources, as a version of its own. */
const buildlet = (version: string): string => `import ${JSON.stringify(main)}; // ${version}`;

const flags = (dir: string): string[] => {
  const insecure = ['--insecure-listen', '--log-level', 'warn'];
  return [`-workdir=${join(dir, 'work')}`, `-listen=unix:${join(dir, 'socket')}`, '--low-water=0', '--drain-after=400', ...insecure];
};

test('a build goes on while another version waits; it is started once all of the build was collected, over the same state', async () => {
  await using farm = await openTestFarm();
  farm.offer('v1', buildlet('v1'));
  await using machine = await startSupervisor(farm, flags);
  await chmod(machine.dir, 0o700);
  await using client = createBuildlet({ socketPath: join(machine.dir, 'socket'), password: '' }, { clock: systemClock });
  const status = (): Promise<BuildletStatus['Croft']> =>
    client.status({}).then(
      ({ Croft }) => Croft,
      () => undefined,
    );
  const first = await until('a buildlet', status);
  const go = join(machine.dir, 'go');
  await client.startOrAttach(runId('B1.1.test'), shell(`echo begun; until [ -e ${go} ]; do sleep 0.05; done; echo done`), 3, {});
  farm.offer('v2', buildlet('v2'));
  await until('it wants to be updated', async () => (await status())?.updating);
  await client.startOrAttach(runId('B1.1.next'), shell('echo next'), 3, {});
  assert.equal((await endOf(client, 'B1.1.next')).exit.kind, 'exited');
  await systemClock.sleep(1_000); // longer than it must be quiet
  assert.equal((await status())?.pid, first.pid);
  await writeFile(go, '');
  assert.deepEqual((await endOf(client, 'B1.1.test')).exit, { kind: 'exited', code: 0 });
  await systemClock.sleep(1_000);
  assert.equal((await status())?.pid, first.pid, 'it ended with uncollected runs');
  assert.equal(String(await readOutput(client, 'B1.1.test')), 'begun\ndone\n');
  for (const id of ['B1.1.test', 'B1.1.next']) await client.collect(runId(id), 3, {});
  const second = await until('another buildlet', async () => {
    const now = await status();
    return now !== undefined && now.pid !== first.pid && now;
  });
  assert.deepEqual([second.epoch, second.updating], [3, undefined]);
  assert.equal(await client.run(runId('B1.1.test'), {}), 'collected');
});

test('a command outlives the death of its supervisor; the next one waits, and then runs what is newest', async () => {
  await using farm = await openTestFarm();
  farm.offer('v1', buildlet('v1'));
  await using machine = await startSupervisor(farm, flags);
  await chmod(machine.dir, 0o700);
  await using client = createBuildlet({ socketPath: join(machine.dir, 'socket'), password: '' }, { clock: systemClock });
  const pidOf = (): Promise<number | undefined> =>
    client.status({}).then(
      ({ Croft }) => Croft?.pid,
      () => undefined,
    );
  const first = await until('a buildlet', pidOf);
  await client.startOrAttach(runId('B1.1.test'), shell('sleep 1.5; echo done'), 1, {});
  await machine.kill9();
  machine.restart();
  assert.deepEqual((await endOf(client, 'B1.1.test')).exit, { kind: 'exited', code: 0 });
  assert.equal(await pidOf(), first);
  await client.collect(runId('B1.1.test'), 1, {});
  await until('another buildlet', async () => ![first, undefined].includes(await pidOf()));
  assert.ok(!isAlive(first));
});

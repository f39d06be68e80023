import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { systemClock } from '@croft/runtime/clock';
import { until } from '../testing.ts';
import { fakeBuildlet, openTestFarm, startSupervisor, testFlags, type TestSupervisor } from './testing.ts';

const state = async ({ dir }: TestSupervisor): Promise<Record<string, unknown>> =>
  JSON.parse(await readFile(join(dir, 'versions.json'), 'utf8').catch(() => '{}'));
const proven = (machine: TestSupervisor, current: string): Promise<unknown> =>
  until(`${current} proven`, async () => {
    const found = await state(machine);
    return found['kind'] === 'proven' && found['current'] === current;
  });

test('a fresh machine fetches what the farm offers and runs it, and ends it when it is stopped', async () => {
  await using farm = await openTestFarm();
  farm.offer('v1', fakeBuildlet('v1'));
  await using machine = await startSupervisor(farm);
  await machine.hears('v1 start');
  await proven(machine, 'v1');
  assert.deepEqual(await machine.versions(), ['v1']);
  assert.ok(!farm.asked.includes('other.node'), 'a file for another platform was fetched');
  assert.equal(await machine.stop(), 0);
  assert.deepEqual(await machine.told(), ['v1 start', 'v1 stopped']);
});

test('one supervisor looks after a directory', async () => {
  await using farm = await openTestFarm();
  farm.offer('v1', fakeBuildlet('v1'));
  await using machine = await startSupervisor(farm);
  await machine.hears('v1 start');
  const main = fileURLToPath(new URL('main.ts', import.meta.url));
  const other = spawn(process.execPath, [main, ...testFlags(farm, machine.dir)], { stdio: 'ignore' });
  assert.deepEqual(await once(other, 'exit'), [3, null]);
});

test('the commands of a build outlive the supervisor, and the next one waits for them', async () => {
  await using farm = await openTestFarm();
  farm.offer('v1', fakeBuildlet('v1'));
  await using machine = await startSupervisor(farm);
  await machine.hears('v1 start');
  await machine.busy(true);
  await machine.kill9();
  farm.offer('v2', fakeBuildlet('v2'));
  machine.restart();
  const drained = await machine.hears('v1 drain');
  await systemClock.sleep(300); // in which it tries again and again
  assert.equal((await machine.told()).length, drained);
  await machine.busy(false);
  await machine.hears('v2 start', await machine.hears('v1 end'));
});

test('an update waits until the buildlet has nothing to do, and the version before is kept', async () => {
  await using farm = await openTestFarm();
  farm.offer('v1', fakeBuildlet('v1'));
  await using machine = await startSupervisor(farm);
  await machine.hears('v1 start');
  await proven(machine, 'v1');
  await machine.busy(true);
  farm.offer('v2', fakeBuildlet('v2'));
  const drained = await machine.hears('v1 drain');
  await until('a few looks', () => farm.asked.length > 5);
  assert.deepEqual((await machine.told()).slice(drained), []);
  await machine.busy(false);
  await machine.hears('v2 start');
  assert.deepEqual((await machine.told()).slice(drained), ['v1 end', 'v2 start']);
  await proven(machine, 'v2');
  assert.deepEqual(await machine.versions(), ['v1', 'v2']);
  farm.offer('v3', fakeBuildlet('v3'));
  await machine.hears('v3 start');
  assert.deepEqual(await machine.versions(), ['v2', 'v3']);
});

for (const [what, script] of [
  ['dies at its start', 'process.exit(1);'],
  ['is no program at all', '}{'],
  ['is never ready', ''],
  ['is ready and dies soon after', "process.send?.('ready'); setTimeout(() => process.exit(1), 50);"],
  ['is killed', "process.send?.('ready'); process.kill(process.pid, 'SIGKILL');"],
] as const) {
  test(`a version that ${what} is taken back and not tried again; a later one is`, async () => {
    await using farm = await openTestFarm();
    farm.offer('v1', fakeBuildlet('v1'));
    await using machine = await startSupervisor(farm);
    await machine.hears('v1 start');
    await proven(machine, 'v1');
    farm.offer('v2', fakeBuildlet('v2', script));
    const back = await machine.hears('v1 start', await machine.hears('v1 end'));
    const { current, bad } = await state(machine);
    assert.deepEqual({ current, bad }, { current: 'v1', bad: ['v2'] });
    const looks = farm.asked.length;
    await until('three more looks', () => farm.asked.length > looks + 3);
    assert.deepEqual((await machine.told()).slice(back), [], 'the bad version was tried again');
    farm.offer('v3', fakeBuildlet('v3'));
    await machine.hears('v3 start');
    await proven(machine, 'v3');
  });
}

test('what arrives changed is never run: other bytes, more of them, fewer, or none', async () => {
  await using farm = await openTestFarm();
  farm.offer('v1', fakeBuildlet('v1'));
  await using machine = await startSupervisor(farm);
  await machine.hears('v1 start');
  await proven(machine, 'v1');
  const good = Buffer.from(fakeBuildlet('v2'));
  const other = Buffer.from(fakeBuildlet('v2'));
  other.writeUInt8(other.readUInt8(200) ^ 1, 200);
  for (const bytes of [other, Buffer.concat([good, good]), good.subarray(0, -1), undefined]) {
    const looks = farm.asked.length;
    farm.offer('v2', fakeBuildlet('v2'), (_, files) => (bytes ? files.set('buildlet.mjs', bytes) : files.delete('buildlet.mjs')));
    await until('some looks', () => farm.asked.length > looks + 4);
    assert.deepEqual(await machine.told(), ['v1 start']);
  }
  farm.offer('v2', fakeBuildlet('v2'));
  await machine.hears('v2 start');
});

test('manifests that would write elsewhere or are of another format change nothing', async () => {
  await using farm = await openTestFarm();
  farm.offer('v1', fakeBuildlet('v1'));
  await using machine = await startSupervisor(farm);
  await machine.hears('v1 start');
  for (const change of [
    { version: '../v2' },
    { version: '.new' },
    { format: 2 },
    { files: [{ name: '../../evil', size: 1, sha256: '0'.repeat(64) }] },
  ]) {
    const looks = farm.asked.length;
    farm.offer('v2', fakeBuildlet('v2'), (manifest) => Object.assign(manifest, change));
    await until('some looks', () => farm.asked.length > looks + 2);
  }
  assert.deepEqual(await machine.told(), ['v1 start']);
  assert.deepEqual(await machine.versions(), ['v1']);
});

test('without a farm in reach it runs what it has, and is no worse a version for that', async () => {
  await using farm = await openTestFarm();
  farm.offer('v1', fakeBuildlet('v1'));
  await using machine = await startSupervisor(farm);
  await machine.hears('v1 start');
  await proven(machine, 'v1');
  await machine.kill9();
  farm.withdraw();
  machine.restart();
  await machine.hears('v1 start', 1);
});

test('a file that was damaged on the machine is not run: the version before it is, or it is fetched anew', async () => {
  await using farm = await openTestFarm();
  farm.offer('v1', fakeBuildlet('v1'));
  await using machine = await startSupervisor(farm);
  await proven(machine, 'v1');
  farm.offer('v2', fakeBuildlet('v2'));
  await machine.hears('v2 start');
  await proven(machine, 'v2');
  await machine.kill9();
  farm.withdraw();
  await writeFile(join(machine.dir, 'versions', 'v2', 'buildlet.mjs'), fakeBuildlet('evil'));
  machine.restart();
  const back = await machine.hears('v1 start', 1);
  farm.offer('v2', fakeBuildlet('v2'));
  await machine.hears('v2 start', back);
  assert.ok(!(await machine.told()).includes('evil start'));
});

test('killed at any moment of an update, it goes on with one of two whole versions and comes to the new one', async () => {
  await using farm = await openTestFarm();
  farm.offer('v0', fakeBuildlet('v0'));
  await using machine = await startSupervisor(farm);
  await machine.hears('v0 start');
  for (let turn = 1; turn <= 8; turn += 1) {
    farm.offer(`v${turn}`, fakeBuildlet(`v${turn}`));
    await systemClock.sleep(turn * 40); // somewhere between asking for the manifest and running what it names
    await machine.kill9();
    machine.restart();
    await machine.hears(`v${turn} start`);
    assert.ok((await machine.versions()).filter((name) => name !== '.new').length <= 2);
  }
  const told = await machine.told();
  const lives = told.filter((line) => /(start|end)$/.test(line)).map((line) => line.split(' ')[1]);
  assert.ok(
    lives.every((what, index) => what === (index % 2 === 0 ? 'start' : 'end')),
    `two ran at once: ${told.join(', ')}`,
  );
});

/** A command that asks for a source is started over that one or not at all. */
import assert from 'node:assert/strict';
import { mkdir, rename } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { gzipSync } from 'node:zlib';
import { ask, endOf, runId, spec, startMachine, withCode, type TestMachine } from '../testing.ts';

async function* emptyTar(): AsyncGenerator<Buffer> {
  yield gzipSync(Buffer.alloc(1024));
}

const send = ({ client }: TestMachine, source?: string): Promise<void> => client.putTarGz('tree', emptyTar(), 1, { source });
const start = ({ client }: TestMachine, id: string, source?: string): Promise<unknown> =>
  client.startOrAttach(runId(id), spec(['true']), 1, { source });
const refused = (machine: TestMachine, source: string): Promise<void> =>
  assert.rejects(start(machine, 'refused', source), withCode('conflict'));

test('it starts while the source is there and not once anything was sent or removed; what had started is attached to all the same', async () => {
  await using machine = await startMachine();
  await refused(machine, 'one');
  await send(machine, 'one');
  await refused(machine, 'two');
  await start(machine, 'a', 'one');
  await endOf(machine.client, 'a');
  await send(machine, 'two');
  await refused(machine, 'one');
  await start(machine, 'a', 'one');
  await machine.client.removeAll(['elsewhere'], 1, {});
  await refused(machine, 'two');
  await send(machine);
  await refused(machine, 'two');
  await start(machine, 'b');
  assert.equal(await machine.client.run(runId('refused'), {}), 'unknown');
});

test('an archive that did not arrive whole is no source', async () => {
  await using machine = await startMachine();
  await send(machine, 'one');
  const half = async function* half(): AsyncGenerator<Buffer> {
    yield gzipSync(Buffer.alloc(1024)).subarray(0, 12);
  };
  await assert.rejects(machine.client.putTarGz('tree', half(), 1, { source: 'one' }));
  await refused(machine, 'one');
});

test('the next buildlet knows it while the directory is the same one', async () => {
  await using machine = await startMachine();
  const { process: buildlet } = machine;
  await send(machine, 'one');
  await buildlet.kill9();
  await buildlet.restart();
  await start(machine, 'a', 'one');
  await buildlet.kill9();
  await rename(buildlet.workDir, join(buildlet.dir, 'taken away'));
  await mkdir(buildlet.workDir);
  await buildlet.restart();
  await refused(machine, 'one');
});

test('a name that could not be one is refused', async () => {
  await using machine = await startMachine();
  const headers = { 'Croft-Epoch': '1', 'Croft-Source': 'a b' };
  const answer = await ask(machine.process, { method: 'PUT', path: '/runs/a', headers, body: JSON.stringify(spec(['true'])) });
  assert.equal(answer.status, 400);
  assert.match(answer.body, /Croft-Source is not a name/);
});

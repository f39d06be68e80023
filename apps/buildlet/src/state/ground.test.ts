/** What becomes of a worker whose commands remove what it stands on. */
import assert from 'node:assert/strict';
import { mkdir, readFile, rename, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { findGroupHome } from '../tree/groups.ts';
import { ask, endOf, isAlive, outputMatching, runId, shell, spec, startMachine, until, withCode } from '../testing.ts';

/** At once: deleting one by one fails where the buildlet makes a file in between. */
const takeAway = (dir: string, name: string): Promise<void> => rename(join(dir, name), join(dir, 'taken away'));

const harms: Record<string, (dir: string) => Promise<unknown>> = {
  'the state is removed': (dir) => takeAway(dir, 'state'),
  'the state is replaced': async (dir) => {
    await takeAway(dir, 'state');
    for (const name of ['runs', 'pipes']) await mkdir(join(dir, 'state', name), { recursive: true });
  },
  'the records are removed': (dir) => takeAway(dir, 'state/runs'),
  'the work is removed': (dir) => takeAway(dir, 'work'),
  'the work is replaced': async (dir) => {
    await takeAway(dir, 'work');
    await mkdir(join(dir, 'work'));
  },
  'the trash is removed': (dir) => takeAway(dir, 'work.trash'),
};

for (const [what, harm] of Object.entries(harms)) {
  test(`when ${what}, a buildlet ends with its commands, and the next one serves`, async () => {
    await using machine = await startMachine();
    const { client, process: buildlet } = machine;
    await client.startOrAttach(runId('a'), shell('echo pid $$; exec sleep 1000'), 1, {});
    const [, pid] = await outputMatching(client, 'a', /pid (\d+)\n/);
    await harm(buildlet.dir);
    await assert.rejects(client.removeAll(['.'], 2, {}), withCode('unavailable'));
    assert.equal(await buildlet.ended(), 0);
    assert.ok(!isAlive(Number(pid)));
    await buildlet.restart();
    await client.removeAll(['.'], 3, {});
    await client.startOrAttach(runId('b'), spec(['true']), 3, {});
    assert.equal((await endOf(client, 'b')).exit.kind, 'exited');
  });
}

test('whoever asks makes it look: its coordinator may not know its password any more', async () => {
  await using machine = await startMachine();
  await takeAway(machine.process.dir, 'work');
  const answer = await ask(machine.process, { path: '/status', password: 'another' }).catch(() => undefined);
  assert.notEqual(answer?.status, 403);
  assert.equal(await machine.process.ended(), 0);
});

test('a command that removes the records and kills its buildlet leaves nothing behind', async (context) => {
  if (!findGroupHome(`croft-test-probe-${process.pid}`)) return context.skip('needs a cgroup hierarchy that this user may write to');
  await using machine = await startMachine();
  const { client, process: buildlet } = machine;
  const script = 'until [ -e go ]; do sleep 0.01; done; setsid sleep 1000 & echo $! > pid; rm -rf ../state; kill -9 $PPID; sleep 1000';
  await client.startOrAttach(runId('a'), shell(script), 1, {});
  await writeFile(join(buildlet.workDir, 'go'), '');
  assert.equal(await buildlet.ended(), 'SIGKILL');
  const pid = Number(await readFile(join(buildlet.workDir, 'pid'), 'utf8'));
  assert.ok(isAlive(pid));
  await buildlet.restart();
  await until('it is gone', () => !isAlive(pid));
});

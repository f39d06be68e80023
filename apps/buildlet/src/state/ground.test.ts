/** What becomes of a worker whose commands remove what it stands on. */
import assert from 'node:assert/strict';
import { mkdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { endOf, isAlive, outputMatching, runId, shell, spec, startMachine, withCode } from '../testing.ts';

test('a buildlet whose directories were removed or replaced ends with its commands, and the next one serves', async () => {
  const harms: Record<string, (dir: string) => Promise<unknown>> = {
    'the state is removed': (dir) => rm(join(dir, 'state'), { recursive: true }),
    'the state is replaced': async (dir) => {
      await rm(join(dir, 'state'), { recursive: true });
      await mkdir(join(dir, 'state', 'collected'), { recursive: true });
    },
    'the records are removed': (dir) => rm(join(dir, 'state', 'collected'), { recursive: true }),
    'the work is removed': (dir) => rm(join(dir, 'work'), { recursive: true }),
    'the trash is removed': (dir) => rm(join(dir, 'work.trash'), { recursive: true }),
  };
  for (const [what, harm] of Object.entries(harms)) {
    await using machine = await startMachine();
    const { client, process: buildlet } = machine;
    await client.startOrAttach(runId('a'), shell('echo pid $$; exec sleep 1000'), 1, {});
    const [, pid] = await outputMatching(client, 'a', /pid (\d+)\n/);
    await harm(buildlet.dir);
    await assert.rejects(client.removeAll(['.'], 2, {}), withCode('unavailable'), what);
    assert.equal(await buildlet.ended(), 0, what);
    assert.ok(!isAlive(Number(pid)), what);
    await buildlet.restart();
    await client.removeAll(['.'], 3, {});
    await client.startOrAttach(runId('b'), spec(['true']), 3, {});
    assert.equal((await endOf(client, 'b')).exit.kind, 'exited', what);
  }
});

test('a command that removes the records and kills its buildlet leaves nothing behind', async () => {
  await using machine = await startMachine();
  const { client, process: buildlet } = machine;
  const script = '(setsid sleep 1000 & echo pid $!); rm -rf "$WORKDIR/../state"; kill -9 $PPID; sleep 1000';
  await client.startOrAttach(runId('a'), shell(`sleep 0.2; ${script}`), 1, {});
  const seen = outputMatching(client, 'a', /pid (\d+)\n/);
  assert.equal(await buildlet.ended(), 'SIGKILL');
  const [, pid] = await seen;
  await buildlet.restart();
  assert.ok(!isAlive(Number(pid)));
});

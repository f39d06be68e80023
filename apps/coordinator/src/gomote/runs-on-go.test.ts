/** Runs of a session on one of Go's buildlets, by our client through the coordinator; the buildlet is one in memory. */
import assert from 'node:assert/strict';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import { createBuildlet, type Buildlet } from '@croft/buildlet/client';
import { createFakeMachine } from '@croft/buildlet/fake';
import { createGoBuildlet } from '@croft/buildlet/go-buildlet';
import { parseRunId } from '@croft/domain/names';
import { systemClock } from '@croft/runtime/clock';
import { isCode } from '@croft/runtime/errors';
import { systemRandom } from '@croft/runtime/random';
import { openProxyStage, sessionId, type ProxyStage } from './testing-proxy.ts';

const spec = { argv: ['sh', '-c', 'go on'], dir: '.', env: { MINE: '1' }, limitMs: 10_000, outputLimitBytes: 10_000 };

async function openGoStage(context: TestContext): Promise<{ client: Buildlet; stage: ProxyStage }> {
  const spoolDir = await mkdtemp(join(tmpdir(), 'croft-runs-on-go-'));
  const machine = createFakeMachine({
    clock: systemClock,
    commands: {
      sh: async ({ env, write }) => {
        await write(`${env['CI']} ${env['MINE']}\n`);
        return 'exit status 3';
      },
    },
  });
  const go = createGoBuildlet(machine.address, { clock: systemClock, random: systemRandom, spoolDir });
  const stage = await openProxyStage(machine.address, { ground: { speaks: 'go', env: { CI: 'true' }, path: ['/own'] }, buildlet: go });
  const client = createBuildlet(stage.address, { clock: systemClock });
  context.after(async () => {
    await client[Symbol.asyncDispose]();
    await stage[Symbol.asyncDispose]();
    await go[Symbol.asyncDispose]();
    await rm(spoolDir, { recursive: true, force: true });
  });
  return { client, stage };
}

test('start, follow, learn the end, acknowledge, list and collect, with the session’s variables', async (context) => {
  const { client } = await openGoStage(context);
  const id = parseRunId(`${sessionId}.go`);
  assert.equal((await client.startOrAttach(id, spec, 0, {})).id, id);
  const output = await Array.fromAsync(client.output(id, 0, {}), (piece) => piece.toString());
  assert.equal(output.join(''), 'true 1\n');
  const ended = await client.run(id, { waitMs: 5_000 });
  assert.deepEqual(typeof ended === 'object' && ended.state === 'ended' && ended.exit, { kind: 'exited', code: 3 });
  await client.ack(id, 3, 0, {});
  assert.deepEqual(
    (await client.runs({})).map((run) => run.id),
    [id],
  );
  await client.collect(id, 0, {});
  assert.equal(await client.run(parseRunId(`${sessionId}.other`), {}), 'unknown');
});

test('what Go’s buildlets cannot do is refused in words', async (context) => {
  const { client, stage } = await openGoStage(context);
  const id = parseRunId(`${sessionId}.tty`);
  const terminal = { ...spec, pty: { cols: 80, rows: 24, term: 'xterm' } };
  await assert.rejects(
    client.startOrAttach(id, terminal, 0, {}),
    (error) => isCode(error, 'exhausted') && /has no terminals/.test(error.message),
  );
  await assert.rejects(client.signal(id, 'SIGINT', 0, {}), (error) => isCode(error, 'exhausted'));
  assert.equal((await stage.ask('/runs/x/output?from=-1')).status, 400);
  assert.equal((await stage.ask('/runs/x', { method: 'PUT', body: '{"argv":[]}' })).status, 400);
});

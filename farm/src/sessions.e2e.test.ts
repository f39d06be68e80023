/** Borrowed machines of a real farm: its coordinator is killed, and whoever borrows notices nothing but the pause. */
import assert from 'node:assert/strict';
import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { createBuildlet, type Buildlet } from '@croft/buildlet/client';
import type { ConfigInput } from '@croft/config/define-config';
import { parseRunId } from '@croft/domain/names';
import type { SessionView } from '@croft/protocol/sessions';
import { HOUR, systemClock } from '@croft/runtime/clock';
import { endedBuild, onlyBuild } from './testing-builds.ts';
import { makeRepo } from './testing-repo.ts';
import { startFarm, type TestFarm } from './testing.ts';

async function lendingFarm(repo: { readonly dir: string }, over: Partial<ConfigInput>): Promise<TestFarm> {
  const builders = [{ name: 'box', repo: 'app', branches: 'none', env: { COLOUR: 'blue' }, shell: { env: { OUT: '$WORKDIR/out' } } }];
  return startFarm({ config: { repos: [{ name: 'app', url: repo.dir }], builders, pools: [{ kind: 'local', size: 1 }], ...over } });
}

const create = (farm: TestFarm): Promise<SessionView> => farm.api('POST', '/api/v1/sessions', { builder: 'box' });
const get = (farm: TestFarm, id: string): Promise<SessionView> => farm.api('GET', `/api/v1/sessions/${id}`);
const end = (farm: TestFarm, id: string): Promise<SessionView> => farm.api('DELETE', `/api/v1/sessions/${id}`, { why: 'done' });
const become = (farm: TestFarm, id: string, state: SessionView['state']): Promise<SessionView> =>
  farm.waitFor(`session ${id} to be ${state}`, async () => {
    const session = await get(farm, id);
    return session.state === state && session;
  });

/** The session's machine, through the coordinator. */
function machineOf(farm: TestFarm, { id }: SessionView): Buildlet {
  const { hostname: host, port } = new URL(farm.url);
  return createBuildlet({ host, port: Number(port), password: '', basePath: `/api/v1/sessions/${id}/machine` }, { clock: systemClock });
}

async function outputOf(machine: Buildlet, run: string): Promise<string> {
  return Buffer.concat(await Array.fromAsync(machine.output(parseRunId(run), 0, {}), (piece) => Buffer.from(piece))).toString();
}

const spec = (script: string) => ({ argv: ['sh', '-c', script], dir: '.', env: {}, limitMs: HOUR, outputLimitBytes: 1e6 });
const filesOf = (farm: TestFarm, machine = 'local-1'): Promise<string[]> => readdir(join(farm.dataDir, 'machines', machine, 'work'));

test('a borrowed machine and its command outlive kill -9 of the coordinator, and it comes back clean', async () => {
  await using repo = await makeRepo('true');
  await using farm = await lendingFarm(repo, { sessions: { perPerson: 3 } });
  const { id, alias } = await create(farm);
  assert.equal(alias, 'local-box-0');
  const active = await become(farm, id, 'active');
  const run = `${id}.r-1`;
  {
    await using machine = machineOf(farm, active);
    await machine.startOrAttach(parseRunId(run), spec('echo "$CI $COLOUR $OUT"; touch mine; sleep 3; echo after; exit 7'), 0, {});
  }
  await farm.kill9();
  await farm.restart();

  const again = await become(farm, alias, 'active');
  assert.deepEqual([again.id, again.machine, again.startedAt], [id, active.machine, active.startedAt]);
  await using machine = machineOf(farm, again);
  const { machine: name = '' } = again;
  assert.equal(await outputOf(machine, run), `true blue ${join(farm.dataDir, 'machines', name, 'work')}/out\nafter\n`);
  const ended = await machine.run(parseRunId(run), { waitMs: 5_000 });
  assert.ok(typeof ended === 'object' && ended.state === 'ended');
  assert.deepEqual(ended.exit, { kind: 'exited', code: 7 });

  const extended = await farm.api<SessionView>('POST', `/api/v1/sessions/${id}/extend`, { forMs: 5 * HOUR });
  assert.ok((extended.expiresAt ?? 0) - systemClock.now() > 4 * HOUR);
  assert.ok((await filesOf(farm, name)).includes('mine'));
  await end(farm, id);
  assert.equal((await become(farm, id, 'ended')).endReason, 'ended by local: done');
  assert.deepEqual(await filesOf(farm, name), []);
});

test('those that wait are told their place, which falls; nobody has more than the limit; who gives up leaves the queue', async () => {
  await using repo = await makeRepo('true');
  await using farm = await lendingFarm(repo, { sessions: { perPerson: 4 } });
  const [first, second, third, fourth] = [await create(farm), await create(farm), await create(farm), await create(farm)];
  await become(farm, first.id, 'active');
  await assert.rejects(create(farm), /429.*as many as one person may have/s);
  const positions = (): Promise<(number | undefined)[]> =>
    Promise.all([second, third, fourth].map(async ({ id }) => (await get(farm, id)).wait?.position));
  assert.deepEqual(await positions(), [0, 1, 2]);
  assert.match((await get(farm, third.id)).wait?.text ?? '', /1 ahead; 1 of 1 .*machines busy/);
  assert.equal((await end(farm, second.id)).state, 'ended');
  assert.deepEqual(await positions(), [undefined, 0, 1]);
  await end(farm, first.id);
  await become(farm, third.id, 'active');
  assert.deepEqual(await positions(), [undefined, undefined, 0]);
  const { machines } = await farm.api<{ machines: { lease?: { session?: { alias: string; owner: string } } }[] }>('GET', '/api/v1/farm');
  assert.deepEqual(
    machines.map(({ lease }) => lease?.session?.alias),
    [third.alias],
  );
});

test('check 1: one that nobody uses is gone soon after its limit, and its command with it', async () => {
  await using repo = await makeRepo('true');
  await using farm = await lendingFarm(repo, { sessions: { idleMs: '4s' } });
  const { id } = await create(farm);
  const active = await become(farm, id, 'active');
  await using machine = machineOf(farm, active);
  await machine.startOrAttach(parseRunId(`${id}.r-1`), spec('touch mine; exec sleep 4000'), 0, {});
  const ended = await become(farm, id, 'ended');
  assert.equal(ended.endReason, 'nobody used it for 4 s');
  assert.deepEqual(await filesOf(farm, active.machine), []);
});

test('the machine of a failed attempt is kept as it lies, over kill -9 too, and another is made like it', async () => {
  await using repo = await makeRepo('true');
  const steps = [
    { name: 'make', argv: ['sh', '-c', 'echo made > made'] },
    { name: 'check', argv: ['sh', '-c', 'echo seen > seen; exit 3'] },
  ];
  const builders = [{ name: 'box', repo: 'app', steps, holdOnFailureMs: '1h' }];
  await using farm = await lendingFarm(repo, { builders });
  const { id: build } = await endedBuild(farm, (await onlyBuild(farm)).id);
  const held = await become(farm, `build-${build}`, 'active');
  assert.deepEqual([held.owner, held.note], ['croft', 'failed in check: exit status 3']);
  await farm.kill9();
  await farm.restart();
  const again = await become(farm, `build-${build}`, 'active');
  assert.equal(again.id, held.id);
  const look = async (session: SessionView, name: string): Promise<string> => {
    await using machine = machineOf(farm, session);
    const run = `${session.id}.${name}`;
    await machine.startOrAttach(parseRunId(run), { ...spec('ls; cat seen'), dir: 'app' }, 0, {});
    return outputOf(machine, run);
  };
  assert.match(await look(again, 'r-1'), /made[^]*seen\nseen\n/);
  const repro = await farm.api<SessionView>('POST', `/api/v1/builds/${build}/repro`, { note: 'once more' });
  assert.equal(repro.wait?.position, 0);
  await farm.api('DELETE', `/api/v1/builds/${build}/hold`, { why: 'seen' });
  const like = await become(farm, repro.id, 'active');
  assert.equal(like.progress, 'the source, with make run; next is check');
  assert.match(await look(like, 'r-1'), /^(?![^]*seen\n)[^]*made[^]*No such file/);
});

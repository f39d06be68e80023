import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import type { Step } from '@croft/domain/job';
import { parseRunId, type BuildId } from '@croft/domain/names';
import { HOUR, SECOND } from '@croft/runtime/clock';
import { isCode } from '@croft/runtime/errors';
import { FakeClock } from '@croft/runtime/testing';
import { getBuild } from '@croft/store/builds';
import { heldLeases } from '@croft/store/leases';
import { incarnate, machine, queueBuild, step, type Incarnation } from '../builds/testing.ts';
import type { Work } from '../builds/work.ts';
import { ann, bob, olga, openStage, vic, type Stage, type StageOptions } from './testing-stage.ts';

const failing = [step('make', 'echo made > made; echo "$CI"'), step('check', 'echo was here > left; exit 3'), step('never', 'true')];

interface Farm extends Stage {
  readonly clock: FakeClock;
  /** Gives the machine to a new build. */
  begin(name: string): Promise<{ work: Work; life: Incarnation }>;
  /** Builds it to the end. */
  build(name: string): Promise<BuildId>;
}

async function openFarm(steps: readonly Step[], { builder = {}, ...options }: Partial<StageOptions> = {}): Promise<Farm> {
  const clock = new FakeClock();
  const stage = await openStage({ clock, ...options, builder: { steps, ...builder } });
  stage.keep();
  const begin: Farm['begin'] = async (name) => {
    const life = incarnate(stage.bench, {}, stage.lending.holds);
    const id = await queueBuild(stage.bench, name);
    return { life, work: (await life.records.assign(id, machine)) ?? assert.fail('the machine is not free') };
  };
  return {
    ...stage,
    clock,
    begin,
    async build(name) {
      const { work, life } = await begin(name);
      await life.run(work);
      return work.build;
    },
  };
}

const refused =
  (code: 'conflict' | 'forbidden' | 'not-found', words = /./) =>
  (error: unknown) =>
    isCode(error, code) && words.test(String(error));
const holders = async ({ bench }: Stage): Promise<string[]> => (await bench.db.read(heldLeases)).map(({ holder }) => holder.kind);

test('a failed attempt’s machine passes to a session as it lies, for whoever may see its build; it ends at its time and is clean then', async () => {
  await using farm = await openFarm(failing, { builder: { holdOnFailureMs: HOUR } });
  const { sessions } = farm.lending;
  const id = await farm.build('held');
  assert.deepEqual(await holders(farm), ['session']);
  const held = await sessions.get(vic, `build-${id}`);
  assert.deepEqual([held.state, held.owner, held.from], ['active', 'croft', { kind: 'held', build: id, attempt: 1, policy: true }]);
  assert.equal(held.note, 'failed in check: exit status 3');
  for (const who of [ann, bob]) {
    using entered = await sessions.builds.enter(who, id);
    assert.equal(entered.runs, `${held.id}.`);
    assert.equal(entered.ground.dir, 'app');
    assert.equal(await readFile(join(entered.ground.workDir, 'app', 'left'), 'utf8'), 'was here\n');
    await entered.buildlet.removeAll(['app/made'], entered.epoch, {});
  }
  await assert.rejects(sessions.builds.enter(vic, id), refused('forbidden'));
  await farm.clock.advance(HOUR - SECOND);
  assert.equal((await farm.until(held.id, 'ended')).endReason, 'its time was over and nobody used it');
  assert.equal(existsSync(join(farm.bench.buildlet.workDir, 'app')), false);
  assert.deepEqual(await holders(farm), []);
});

test('no more machines are kept than the farm says, and none of an attempt that passed', async () => {
  await using none = await openFarm(failing, { builder: { holdOnFailureMs: HOUR }, sessions: { heldAtOnce: 0 } });
  await none.build('one too many');
  assert.deepEqual(await holders(none), []);
  await using passing = await openFarm([step('fine', 'true')], { builder: { holdOnFailureMs: HOUR } });
  await passing.build('passed');
  assert.deepEqual(await holders(passing), []);
});

test('by hand: who asks while it runs gets the machine when it has ended, however it ended', async () => {
  await using farm = await openFarm([step('fine', 'echo ok > left')]);
  const { builds, ...sessions } = farm.lending.sessions;
  const { work, life } = await farm.begin('asked for');
  const wish = await builds.hold(ann, work.build, { forMs: 2 * HOUR, note: 'why so slow' });
  assert.deepEqual([wish.state, wish.wait?.text], ['waiting', `until attempt 1 of build ${work.build} has ended`]);
  assert.equal((await builds.hold(ann, work.build, {})).id, wish.id, 'asking again changes nothing');
  await assert.rejects(builds.hold(bob, work.build, {}), refused('forbidden', /belongs to ann/));
  assert.equal(await farm.lend(), undefined, 'no other machine would do');
  await life.run(work);
  const active = await sessions.get(ann, wish.id);
  assert.deepEqual([active.state, (active.expiresAt ?? 0) - (active.startedAt ?? 0)], ['active', 2 * HOUR]);
  using entered = await sessions.enter(ann, `build-${work.build}`);
  await entered.buildlet.startOrAttach(
    parseRunId(`${wish.id}.r-1`),
    { argv: ['cat', 'left'], dir: 'app', env: {}, limitMs: HOUR, outputLimitBytes: 1e6 },
    entered.epoch,
    {},
  );
  assert.deepEqual((await farm.bench.db.read((sql) => getBuild(sql, work.build)))?.state.kind, 'ended');
});

test('by hand afterwards: as long as the machine had nothing else to do and holds the tree', async () => {
  await using farm = await openFarm(failing);
  const { builds, ...sessions } = farm.lending.sessions;
  const first = await farm.build('first');
  const held = await builds.hold(ann, first, {});
  assert.equal((await farm.until(held.id, 'active')).machine, machine);
  assert.ok(existsSync(join(farm.bench.buildlet.workDir, 'app', 'left')));
  await builds.unhold(ann, first, 'seen enough');
  assert.equal((await farm.until(held.id, 'ended')).endReason, 'ended by ann: seen enough');
  await assert.rejects(builds.hold(ann, first, {}), refused('conflict', /had something else to do since/));
  await assert.rejects(sessions.get(ann, `build-${first}`), refused('not-found'));

  const { work, life } = await farm.begin('second');
  await life.run(work);
  await farm.buildlet.removeAll(['app'], work.lease.epoch, {});
  const late = await builds.hold(ann, work.build, {});
  const ended = await farm.until(late.id, 'ended');
  assert.match(ended.endReason ?? '', /could not be made ready/);
});

test('a wish for the machine of an attempt whose machine is lost ends with the evidence', async () => {
  await using farm = await openFarm([step('fine', 'true')]);
  const { work, life } = await farm.begin('lost');
  const wish = await farm.lending.sessions.builds.hold(ann, work.build, {});
  await life.records.finish(work, { kind: 'infra', cause: 'machine-lost', evidence: 'silent for 15 s' }, undefined);
  const { state, endReason } = await farm.lending.sessions.get(ann, wish.id);
  assert.equal(state, 'ended');
  assert.match(endReason ?? '', /silent for 15 s/);
  assert.deepEqual(await holders(farm), []);
});

test('while an attempt runs, operators can be on its machine beside it; those on it learn of its end; others are refused', async () => {
  await using farm = await openFarm([step('slow', 'until [ -e ../../go ]; do sleep 0.05; done')]);
  const { builds } = farm.lending.sessions;
  const { work, life } = await farm.begin('watched');
  const running = life.run(work);
  await assert.rejects(builds.enter(ann, work.build), refused('forbidden', /for operators and for who asked for it/));
  using entered = await builds.enter(olga, work.build);
  assert.deepEqual([entered.runs, entered.session], [`${work.build}.1.`, undefined]);
  assert.equal(entered.ended.aborted, false);
  await writeFile(join(farm.bench.buildlet.workDir, '..', 'go'), '');
  assert.equal((await running).kind, 'passed');
  farm.lending.buildMoved(work.build);
  await new Promise((resolve) => entered.ended.addEventListener('abort', resolve));
  await assert.rejects(builds.enter(olga, work.build), refused('conflict', /nothing runs for build/));
});

test('a repro has the source and the steps before the failed one, and says which comes next', async () => {
  await using farm = await openFarm(failing);
  const { builds, ...sessions } = farm.lending.sessions;
  const id = await farm.build('to be repeated');
  const { id: session, from } = await builds.repro(ann, id, { note: 'look' });
  assert.deepEqual(from, { kind: 'repro', build: id, attempt: 1 });
  await farm.lend();
  const active = await farm.until(session, 'active');
  assert.equal(active.progress, 'the source, with make run; next is check');
  using entered = await sessions.enter(ann, session);
  const at = (name: string): boolean => existsSync(join(entered.ground.workDir, 'app', name));
  assert.deepEqual(['hello', 'made', 'left'].map(at), [true, true, false]);
  const runs = await entered.buildlet.runs({});
  assert.deepEqual(
    runs.map((run) => run.id),
    [`${session}.step-make`],
  );
});

test('a step that fails in the repro too is told, and the ones after it are not run', async () => {
  const steps = [step('first', 'true'), step('moody', 'if [ -e ../../bad ]; then exit 9; fi'), step('check', 'exit 3')];
  await using farm = await openFarm(steps);
  const id = await farm.build('moody');
  await writeFile(join(farm.bench.buildlet.workDir, '..', 'bad'), '');
  const { id: session } = await farm.lending.sessions.builds.repro(ann, id, {});
  await farm.lend();
  assert.equal((await farm.until(session, 'active')).progress, 'failed in moody: exit status 9; the steps after it were not run');
});

test('who may not see a build can neither hold, repeat nor enter it', async () => {
  await using farm = await openFarm(failing);
  const id = await farm.build('private');
  const stranger = { ...olga, repos: ['other'] };
  const { builds } = farm.lending.sessions;
  for (const call of [builds.hold(stranger, id, {}), builds.repro(stranger, id, {}), builds.enter(stranger, id)])
    await assert.rejects(call, refused('not-found'));
  for (const call of [builds.hold(vic, id, {}), builds.repro(vic, id, {})]) await assert.rejects(call, refused('forbidden'));
});

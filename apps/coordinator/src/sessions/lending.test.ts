import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { mkdir, readdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { parseRunId } from '@croft/domain/names';
import type { SessionView } from '@croft/protocol/sessions';
import { HOUR, MINUTE, SECOND } from '@croft/runtime/clock';
import { isCode } from '@croft/runtime/errors';
import { FakeClock } from '@croft/runtime/testing';
import { listAudit } from '@croft/store/audit';
import { heldLeases } from '@croft/store/leases';
import type { Person } from './sessions.ts';
import { ann, bob, olga, openStage, vic, type Stage } from './testing-stage.ts';

const builder = 'test';
const lasting = { argv: ['sleep', '1000'], dir: '.', env: {}, limitMs: HOUR, outputLimitBytes: 1e6 };

async function openActive(
  options: Partial<Parameters<typeof openStage>[0]> = {},
): Promise<Stage & { session: SessionView; clock: FakeClock }> {
  const clock = options.clock ?? new FakeClock();
  const stage = await openStage({ ...options, clock });
  stage.keep();
  await stage.lending.sessions.create(ann, { builder });
  const id = await stage.lend();
  return { ...stage, clock, session: await stage.until(id ?? '', 'active') };
}

const leases = ({ bench }: Stage): ReturnType<typeof heldLeases> => bench.db.read(heldLeases);
const refusedAs =
  (code: 'forbidden' | 'not-found' | 'conflict' | 'exhausted', words = /./) =>
  (error: unknown) =>
    isCode(error, code) && words.test(String(error));

test('a session waits, gets a machine that is clean, and gives it back clean; whoever asks next gets its alias and not its id', async () => {
  await using stage = await openStage({ clock: new FakeClock() });
  const { sessions } = stage.lending;
  await writeFile(join(stage.bench.buildlet.workDir, 'left'), 'by the last build');
  stage.keep();
  const asked = await sessions.create(ann, { builder, note: 'a flake' });
  assert.deepEqual([asked.alias, asked.state, asked.owner, asked.note], ['ann-test-0', 'waiting', 'ann', 'a flake']);
  assert.ok(asked.wait);
  await stage.lend();
  const active = await stage.until(asked.id, 'active');
  assert.equal(active.machine, 'm-1');
  assert.deepEqual(await readdir(stage.bench.buildlet.workDir), []);
  {
    using entered = await sessions.enter(ann, 'user-ann-test-0');
    await entered.buildlet.startOrAttach(parseRunId(`${asked.id}.r-1`), lasting, entered.epoch, {});
    await mkdir(join(entered.ground.workDir, 'mine'));
  }
  await sessions.end(ann, asked.id, 'done');
  const ended = await stage.until(asked.id, 'ended');
  assert.equal(ended.endReason, 'ended by ann: done');
  assert.deepEqual([await readdir(stage.bench.buildlet.workDir), await stage.buildlet.runs({}), await leases(stage)], [[], [], []]);
  const next = await sessions.create(ann, { builder });
  assert.equal(next.alias, 'ann-test-0');
  assert.notEqual(next.id, asked.id);
});

test('check 4: one that waits leaves the queue the moment it is ended', async () => {
  await using stage = await openStage({ clock: new FakeClock() });
  const { sessions } = stage.lending;
  const [first, second] = [await sessions.create(ann, { builder }), await sessions.create(bob, { builder })];
  const ended = await sessions.end(ann, first.id, 'too slow');
  assert.deepEqual([ended.state, ended.endReason], ['ended', 'ended by ann: too slow']);
  assert.equal(await stage.lend(), second.id);
  assert.equal(await stage.lend(), undefined);
});

test('nobody has more than the limit, and ending one makes room', async () => {
  await using stage = await openStage({ clock: new FakeClock(), sessions: { perPerson: 2 } });
  const { sessions } = stage.lending;
  const first = await sessions.create(ann, { builder });
  await sessions.create(ann, { builder });
  await assert.rejects(sessions.create(ann, { builder }), refusedAs('exhausted', /as many as one person may have.*|ann-test-0/));
  await sessions.create(bob, { builder });
  await sessions.end(ann, first.id, 'done');
  assert.equal((await sessions.create(ann, { builder })).alias, 'ann-test-0');
});

test('check 2: others see it and cannot use it, nor renew it; a colleague it is shared with can, an operator can end it', async () => {
  await using stage = await openActive();
  const { lending, session, clock } = stage;
  const { sessions } = lending;
  const before = (await sessions.get(vic, session.id)).expiresAt;
  await clock.advance(MINUTE);
  for (const who of [bob, olga, vic, { ...ann, role: 'viewer' } as Person]) {
    assert.equal((await sessions.get(who, session.alias)).owner, 'ann');
    await assert.rejects(sessions.enter(who, session.id), refusedAs('forbidden'));
    await assert.rejects(sessions.extend(who, session.id, HOUR), refusedAs('forbidden'));
    await assert.rejects(sessions.share(who, session.id, [who.name]), refusedAs('forbidden'));
  }
  assert.equal((await sessions.get(vic, session.id)).expiresAt, before);
  await assert.rejects(sessions.end(bob, session.id, 'mine'), refusedAs('forbidden'));
  assert.deepEqual(await sessions.list(bob, { mine: true }), []);
  await sessions.share(ann, session.id, ['bob']);
  using _entered = await sessions.enter(bob, session.alias);
  assert.equal((await sessions.list(bob, { mine: true })).length, 1);
  assert.equal((await sessions.end(olga, session.id, 'needed')).endReason, 'ended by olga: needed');
});

test('a name that nobody has yet is kept and told, on each look, until somebody has it', async () => {
  await using stage = await openActive();
  const { lending, session } = stage;
  const here = new Set(['ann']);
  lending.knowPeople({ strangers: async (names) => names.filter((name) => !here.has(name)) });
  const shared = await lending.sessions.share(ann, session.id, ['bob', 'eve']);
  assert.deepEqual(
    [shared.sharedWith, shared.strangers],
    [
      ['bob', 'eve'],
      ['bob', 'eve'],
    ],
  );
  here.add('bob');
  for (const [seen] of [[await lending.sessions.get(vic, session.id)], await lending.sessions.list(vic)]) {
    assert.deepEqual([seen?.sharedWith, seen?.strangers], [['bob', 'eve'], ['eve']]);
  }
  using _entered = await lending.sessions.enter(bob, session.alias);
  assert.equal((await lending.sessions.share(ann, session.id, ['bob'])).strangers, undefined);
});

test('who may see some repositories only sees and borrows machines of builders of these alone', async () => {
  await using stage = await openActive();
  const { sessions } = stage.lending;
  const stranger: Person = { name: 'ann', role: 'admin', repos: ['other'] };
  for (const call of [sessions.get, sessions.enter]) await assert.rejects(call(stranger, stage.session.id), refusedAs('not-found'));
  assert.deepEqual(await sessions.list(stranger), []);
  await assert.rejects(sessions.create(stranger, { builder }), refusedAs('not-found', /there are: none/));
  await assert.rejects(sessions.create({ ...ann, repos: ['app'] }, { builder: 'nothing' }), refusedAs('not-found', /there are: test/));
  await assert.rejects(sessions.create(vic, { builder }), refusedAs('forbidden'));
});

test('SES-1, check 1: unused it is gone after the idle limit with its machine clean, which the audit tells', async () => {
  await using stage = await openActive();
  const { clock, session } = stage;
  await clock.advance(29 * MINUTE);
  assert.equal((await stage.lending.sessions.get(ann, session.id)).state, 'active');
  await clock.advance(2 * MINUTE);
  const ended = await stage.until(session.id, 'ended');
  assert.equal(ended.endReason, 'nobody used it for 30 min');
  assert.deepEqual(await leases(stage), []);
  const [entry] = await stage.bench.db.read((sql) => listAudit(sql, { limit: 1 }));
  assert.deepEqual([entry?.who, entry?.what, entry?.target], ['croft', 'session.end', session.id]);
});

test('SES-2, check 7: as long as somebody is on it, it stays, up to its longest life; then those are told', async () => {
  await using stage = await openActive({ sessions: { longestMs: '2h' } });
  const { clock, session } = stage;
  using entered = await stage.lending.sessions.enter(ann, session.id);
  for (let minutes = 0; minutes < 110; minutes += 1) await clock.advance(MINUTE);
  assert.equal((await stage.lending.sessions.get(ann, session.id)).state, 'active');
  assert.equal(entered.ended.aborted, false);
  await clock.advance(11 * MINUTE);
  assert.equal((await stage.until(session.id, 'ended')).endReason, 'it had its longest life, 2 h');
  assert.match(String(entered.ended.reason), /session ann-test-0 has ended: it had its longest life/);
});

test('a use that ended a moment ago counts to the second', async () => {
  await using stage = await openActive();
  const { clock, session } = stage;
  const { sessions } = stage.lending;
  (await sessions.enter(ann, session.id))[Symbol.dispose]();
  await clock.advance(5 * SECOND);
  (await sessions.enter(ann, session.id))[Symbol.dispose]();
  await clock.advance(MINUTE);
  const { expiresAt, usedAt } = await sessions.get(ann, session.id);
  assert.equal((expiresAt ?? 0) - (usedAt ?? 0), 30 * MINUTE);
  assert.ok(clock.now() - (usedAt ?? 0) < MINUTE + SECOND, 'the second use and not the first');
});

test('it is kept as long as people say, within its longest life', async () => {
  await using stage = await openActive();
  const { sessions } = stage.lending;
  await sessions.extend(ann, stage.session.id, 5 * HOUR);
  for (let hours = 0; hours < 4; hours += 1) await stage.clock.advance(HOUR);
  assert.equal((await sessions.get(ann, stage.session.id)).state, 'active');
  await assert.rejects(sessions.extend(ann, stage.session.id, 30 * HOUR), refusedAs('exhausted', /its longest life ends in/));
});

test('its end is told to whoever is on it, and closes it', async () => {
  await using stage = await openActive();
  const { sessions } = stage.lending;
  using entered = await sessions.enter(ann, stage.session.id);
  await sessions.end(ann, stage.session.id, 'done');
  assert.ok(entered.ended.aborted);
  await assert.rejects(sessions.enter(ann, stage.session.id), refusedAs('conflict', /has ended: ended by ann: done/));
});

test('SES-6, check 13: after a restart it is listed as before, its command goes on, and the old epoch is refused', async () => {
  const before = await openActive();
  const { id } = before.session;
  using entered = await before.lending.sessions.enter(ann, id);
  const run = parseRunId(`${id}.r-1`);
  await before.buildlet.startOrAttach(run, { ...lasting, argv: ['sh', '-c', 'sleep 0.3; echo done'] }, entered.epoch, {});
  await using after = await before.restart();
  await using _bench = before;
  after.keep();
  using again = await after.lending.sessions.enter(ann, 'ann-test-0');
  assert.ok(again.epoch > entered.epoch);
  const ended = await after.buildlet.run(run, { waitMs: 10_000 });
  assert.ok(typeof ended === 'object' && ended.state === 'ended' && ended.exit.kind === 'exited' && ended.exit.code === 0);
  await again.buildlet.removeAll(['nothing'], again.epoch, {});
  await assert.rejects(after.buildlet.removeAll(['.'], entered.epoch, {}), (error) => isCode(error, 'stale'));
});

test('many who enter at once after a restart have one epoch', async () => {
  const before = await openActive();
  await using after = await before.restart();
  await using _bench = before;
  after.keep();
  const all = await Promise.all(Array.from({ length: 8 }, () => after.lending.sessions.enter(ann, before.session.id)));
  assert.equal(new Set(all.map(({ epoch }) => epoch)).size, 1);
  for (const { buildlet, epoch } of all) await buildlet.removeAll(['nothing'], epoch, {});
});

test('a machine that cannot be cleaned within a minute is made anew, and only then is the session over', async () => {
  const refusing = { removeAll: async () => Promise.reject(new Error('a mount is in the way')) };
  let broken = false;
  await using stage = await openActive({
    wrap: (buildlet) =>
      new Proxy(buildlet, { get: (target, key) => (broken && key in refusing ? refusing.removeAll : Reflect.get(target, key)) }),
  });
  broken = true;
  await stage.lending.sessions.end(ann, stage.session.id, 'done');
  const ended = await stage.until(stage.session.id, 'ended');
  assert.equal(ended.endReason, 'ended by ann: done');
  assert.match(stage.lost.join(), /could not be cleaned after session ann-test-0: a mount is in the way/);
  assert.deepEqual(await leases(stage), []);
});

test('a lost machine ends its session with the evidence', async () => {
  await using stage = await openActive();
  using entered = await stage.lending.sessions.enter(ann, stage.session.id);
  await stage.lending.records.lose('m-1' as never, 'silent for 15 s');
  const { state, endReason } = await stage.lending.sessions.get(ann, stage.session.id);
  assert.deepEqual([state, endReason, entered.ended.aborted], ['ended', 'its machine was lost: silent for 15 s', true]);
});

test("on one of Go's buildlets a restart ends the session and says so, and the machine begins anew", async () => {
  const asGo = (buildlet: Stage['buildlet']): Stage['buildlet'] => {
    const status = async (): Promise<{ Version: number }> => ({ Version: 25 });
    return new Proxy(buildlet, { get: (target, key) => (key === 'status' ? status : Reflect.get(target, key)) });
  };
  const before = await openActive({ wrap: asGo });
  using entered = await before.lending.sessions.enter(ann, before.session.id);
  assert.equal(entered.ground.speaks, 'go');
  await before.clock.advance(SECOND);
  await using after = await before.restart();
  await using _bench = before;
  after.keep();
  const ended = await after.until(before.session.id, 'ended');
  assert.match(ended.endReason ?? '', /one of Go's buildlets keeps nothing over that/);
  assert.match(after.lost.join(), /begins anew after session ann-test-0/);
});

test('who follows sees each state until it is active', async () => {
  await using stage = await openStage({ clock: new FakeClock() });
  stage.keep();
  const { id } = await stage.lending.sessions.create(ann, { builder });
  const seen: string[] = [];
  const following = (async () => {
    for await (const { state } of stage.lending.sessions.follow(ann, id, {})) seen.push(state);
  })();
  await stage.lend();
  await stage.until(id, 'active');
  for (let i = 0; i < 20; i += 1) await (stage.bench.clock as FakeClock).advance(SECOND);
  await following;
  assert.deepEqual([seen[0], seen.at(-1)], ['waiting', 'active']);
});

test('a session whose builder is removed while it waits ends with that reason', async () => {
  await using stage = await openStage({ clock: new FakeClock() });
  const { id } = await stage.lending.sessions.create(ann, { builder });
  Object.assign(stage.bench.builder, { name: 'another' });
  stage.keep();
  assert.equal((await stage.until(id, 'ended')).endReason, 'builder test is not configured any more');
});

test('what a session left behind is not there for the next one', async () => {
  await using stage = await openActive();
  const secret = join(stage.bench.buildlet.workDir, 'secret');
  await writeFile(secret, 'mine');
  await stage.lending.sessions.end(ann, stage.session.id, 'done');
  await stage.until(stage.session.id, 'ended');
  await stage.lending.sessions.create(bob, { builder });
  await stage.until((await stage.lend()) ?? '', 'active');
  assert.equal(existsSync(secret), false);
});

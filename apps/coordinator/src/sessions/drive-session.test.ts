/** The driver is killed with -9 at every use of the store and of the machine, before and after its effect: the next one comes to the same end. */
import assert from 'node:assert/strict';
import { readdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { createBuildlet } from '@croft/buildlet/client';
import { parseRunId, type SessionId } from '@croft/domain/names';
import { HOUR, systemClock } from '@croft/runtime/clock';
import { silentLog } from '@croft/runtime/log';
import { systemRandom } from '@croft/runtime/random';
import { heldLeases } from '@croft/store/leases';
import { machine, mortal, openBench, openMortality, type Bench, type Death } from '../builds/testing.ts';
import { createSessionDriver } from './drive-session.ts';
import { createSessionRecords, type SessionRecords } from './session-records.ts';

const limits = { idleMs: HOUR, longestMs: 2 * HOUR, perPerson: 99 };

interface Life {
  readonly records: SessionRecords;
  readonly died: Promise<void>;
  readonly uses: () => number;
  drive(session: SessionId): Promise<void>;
}

function live(bench: Bench, death: Death = {}): Life {
  const mortality = openMortality(bench, death);
  const records = createSessionRecords(bench.db, {
    limits: () => limits,
    isOpen: () => true,
    clock: systemClock,
    random: systemRandom,
    onMove() {},
  });
  const machines = {
    employ: () => mortal(createBuildlet(bench.buildlet.address, { clock: systemClock }), mortality.use),
    look() {},
    release() {},
    lose: async () => assert.fail('the machine was never lost'),
  };
  const driver = createSessionDriver({
    records: mortal(records, mortality.use),
    machines,
    prepare: async () => assert.fail('it is about no build'),
    limits: () => limits,
    clock: systemClock,
    random: systemRandom,
    log: silentLog,
  });
  const { signal } = new AbortController();
  return { records, died: mortality.died, uses: mortality.uses, drive: (session) => driver.drive(session, { signal }) };
}

/** Borrows the machine, on which somebody left a tree and a command. */
async function borrow({ records }: Life, bench: Bench): Promise<SessionId> {
  const { name, repos, needs } = bench.builder;
  const { id } = await records.create({ owner: 'ann', builder: name, repos, needs, from: { kind: 'asked' }, note: '' });
  assert.ok(await records.assign(id, machine));
  return id;
}

async function leaveSomething(bench: Bench, session: SessionId): Promise<void> {
  const epoch = (await bench.db.read(heldLeases))[0]?.state.epoch ?? 0;
  const spec = { argv: ['sleep', '1000'], dir: '.', env: {}, limitMs: HOUR, outputLimitBytes: 1e6 };
  await using buildlet = createBuildlet(bench.buildlet.address, { clock: systemClock });
  await buildlet.startOrAttach(parseRunId(`${session}.r-1`), spec, epoch, {});
  await writeFile(join(bench.buildlet.workDir, 'left'), 'behind');
}

async function isClean(bench: Bench): Promise<boolean> {
  await using buildlet = createBuildlet(bench.buildlet.address, { clock: systemClock });
  return (await readdir(bench.buildlet.workDir)).length === 0 && (await buildlet.runs({})).length === 0;
}

async function toTheEnd(bench: Bench, session: SessionId): Promise<void> {
  const next = live(bench);
  await next.drive(session);
  assert.equal((await next.records.get(session))?.state.kind, 'active');
  await leaveSomething(bench, session);
  await next.records.move(session, { kind: 'end', at: systemClock.now(), reason: 'done' });
  await next.drive(session);
  assert.equal((await next.records.get(session))?.state.kind, 'ended');
}

for (const after of [false, true]) {
  test(`killed at any moment of its preparation, ${after ? 'after' : 'before'} the effect, it is active and clean afterwards`, async () => {
    await using bench = await openBench([]);
    for (let dieAt = 1, survived = false; !survived; dieAt += 1) {
      const life = live(bench, { dieAt, after });
      const session = await borrow(life, bench);
      await leaveSomething(bench, session);
      survived = await Promise.race([life.drive(session).then(() => true), life.died.then(() => false)]);
      const next = live(bench);
      await next.drive(session);
      assert.ok(await isClean(bench), `killed at use ${dieAt}`);
      await toTheEnd(bench, session);
      assert.ok(dieAt < 40);
    }
  });

  test(`killed at any moment of giving its machine back, ${after ? 'after' : 'before'} the effect, it ends once and leaves the machine clean and free`, async () => {
    await using bench = await openBench([]);
    for (let dieAt = 1, survived = false; !survived; dieAt += 1) {
      const session = await borrow(live(bench), bench);
      await live(bench).drive(session);
      await leaveSomething(bench, session);
      const life = live(bench, { dieAt, after });
      await life.records.move(session, { kind: 'end', at: systemClock.now(), reason: 'done' });
      survived = await Promise.race([life.drive(session).then(() => true), life.died.then(() => false)]);
      const next = live(bench);
      await next.drive(session);
      const { state } = (await next.records.get(session)) ?? assert.fail();
      assert.deepEqual([state.kind, 'reason' in state && state.reason], ['ended', 'done'], `killed at use ${dieAt}`);
      assert.ok(await isClean(bench), `killed at use ${dieAt}`);
      assert.deepEqual(await bench.db.read(heldLeases), []);
      assert.ok(dieAt < 40);
    }
  });
}

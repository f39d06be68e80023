/** A repro killed with -9 at every use of the store and of the machine, before and after its effect, comes to the same machine. */
import assert from 'node:assert/strict';
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { createBuildlet } from '@croft/buildlet/client';
import type { Service } from '@croft/domain/job';
import type { BuildId, SessionId } from '@croft/domain/names';
import { HOUR, systemClock } from '@croft/runtime/clock';
import { silentLog } from '@croft/runtime/log';
import { systemRandom } from '@croft/runtime/random';
import { heldLeases } from '@croft/store/leases';
import { incarnate, machine, mortal, openBench, openMortality, queueBuild, step, type Bench, type Death } from '../builds/testing.ts';
import { createSessionDriver } from './drive-session.ts';
import { reproduce } from './reproduce.ts';
import { createSessionRecords, type SessionRecords } from './session-records.ts';

const limits = { idleMs: HOUR, longestMs: 2 * HOUR, perPerson: 99 };
const steps = [step('make', 'test -e served && echo made at $SERVICE_DB_HOST >> made'), step('check', 'exit 3')];
const db: Service = {
  name: 'db',
  argv: ['sh', '-c', 'echo served by $$ >> served; exec sleep 600'],
  env: {},
  secrets: {},
  ready: { argv: ['test', '-s', 'served'], withinMs: HOUR },
};

interface Life {
  readonly records: SessionRecords;
  readonly died: Promise<void>;
  drive(session: SessionId): Promise<void>;
}

function live(bench: Bench, death: Death = {}): Life {
  const { use, died } = openMortality(bench, death);
  const direct = createSessionRecords(bench.db, {
    limits: () => limits,
    isOpen: () => true,
    clock: systemClock,
    random: systemRandom,
    onMove() {},
  });
  const records = mortal(direct, use);
  const employ = () => mortal(createBuildlet(bench.buildlet.address, { clock: systemClock }), use);
  const farm = { ...incarnate(bench).farm, connect: employ };
  const driver = createSessionDriver({
    records,
    machines: { employ, look() {}, release() {}, lose: async () => assert.fail('the machine was never lost') },
    prepare: (session, work, waits) => reproduce(session, work, { db: bench.db, records, farm, builders: () => [bench.builder], ...waits }),
    limits: () => limits,
    clock: systemClock,
    random: systemRandom,
    log: silentLog,
  });
  const { signal } = new AbortController();
  return { records: direct, died, drive: (session) => driver.drive(session, { signal }) };
}

async function failedBuild(bench: Bench): Promise<BuildId> {
  const life = incarnate(bench);
  const build = await queueBuild(bench, 'failed');
  await life.run((await life.records.assign(build, machine)) ?? assert.fail());
  return build;
}

for (const after of [false, true]) {
  test(`killed at any moment, ${after ? 'after' : 'before'} the effect, each step has run exactly once on the tree that is there, beside a service that was started once`, async () => {
    await using bench = await openBench(steps, { services: [db] });
    const build = await failedBuild(bench);
    const { name, repos, needs } = bench.builder;
    for (let dieAt = 1, survived = false; !survived; dieAt += 1) {
      const life = live(bench, { dieAt, after });
      const wish = { owner: 'ann', builder: name, repos, needs, from: { kind: 'repro', build, attempt: 1 } as const, note: '' };
      const { id } = await life.records.create(wish);
      assert.ok(await life.records.assign(id, machine));
      survived = await Promise.race([life.drive(id).then(() => true), life.died.then(() => false)]);
      const next = live(bench);
      await next.drive(id);
      const { state } = (await next.records.get(id)) ?? assert.fail();
      assert.equal(state.kind === 'active' && state.progress, 'the source, with make run; next is check', `killed at use ${dieAt}`);
      const tree = join(bench.buildlet.workDir, 'app');
      assert.equal(readFileSync(join(tree, 'made'), 'utf8'), 'made at 127.0.0.1\n', `killed at use ${dieAt}`);
      const [, served, ...more] = /^served by (\d+)\n([^]*)$/.exec(readFileSync(join(tree, 'served'), 'utf8')) ?? [];
      assert.deepEqual([isAlive(served), more], [true, ['']], `killed at use ${dieAt}`);
      assert.ok(existsSync(join(tree, 'hello')));
      await next.records.move(id, { kind: 'end', at: systemClock.now(), reason: 'done' });
      await next.drive(id);
      assert.deepEqual(await bench.db.read(heldLeases), []);
      assert.equal(isAlive(served), false, 'it ends with the session');
      assert.ok(dieAt < 80);
    }
  });
}

function isAlive(pid: string | undefined): boolean {
  return pid !== undefined && existsSync(`/proc/${pid}/stat`) && !/\) Z /.test(readFileSync(`/proc/${pid}/stat`, 'utf8'));
}

import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { LeaseHolder } from '@croft/domain/lease';
import { parseLeaseId, parseMachineId } from '@croft/domain/names';
import { isCode } from '@croft/runtime/errors';
import type { Database } from './database.ts';
import {
  assertHeld,
  endLease,
  getLease,
  heldLeases,
  insertLease,
  lastLease,
  leasedMachines,
  leaseOfHolder,
  leaseOfMachine,
  passLease,
  takeOverLease,
  writeAsHolder,
} from './leases.ts';
import {
  connectMachine,
  getMachine,
  listMachines,
  machineIds,
  markMachine,
  nextEpoch,
  upsertMachine,
  type NewMachine,
} from './machines.ts';
import { getSetting, setSetting } from './settings.ts';
import { eachDatabase } from './testing.ts';

const machine = parseMachineId('local-1');
const lease = parseLeaseId('L0000000000000001');
const other = parseLeaseId('L0000000000000002');
const holder: LeaseHolder = { kind: 'attempt', id: 'B0000000000000001.1' };
const declared: NewMachine = {
  id: machine,
  pool: 'local',
  hostType: 'linux',
  labels: ['linux', 'x64'],
  address: { socket: '/s', password: 'hunter2' },
  boot: 'b1',
  at: 1_000,
};

const leased = async (database: Database): Promise<number> =>
  await database.write(async (sql) => {
    await upsertMachine(sql, declared);
    const held = await insertLease(sql, { id: lease, machine, holder, at: 2_000 });
    return held?.state.epoch ?? 0;
  });

eachDatabase('machines', (open) => {
  test('a machine is listed without the password that connects to it', async () => {
    await using database = await open();
    await database.write((sql) => upsertMachine(sql, declared));
    const [listed] = await database.read((sql) => listMachines(sql));
    assert.deepEqual(await database.read(machineIds), [machine]);
    assert.deepEqual(listed, await database.read((sql) => getMachine(sql, machine)));
    assert.ok(!JSON.stringify(listed).includes('hunter2'));
    assert.deepEqual(await database.read((sql) => connectMachine(sql, machine)), declared.address);
  });

  test('it keeps age and epoch when it is seen again, and loses its evidence', async () => {
    await using database = await open();
    await database.write(async (sql) => {
      await upsertMachine(sql, declared);
      await nextEpoch(sql, machine);
      await markMachine(sql, machine, { state: 'away', at: 3_000, evidence: 'no answer' });
    });
    const away = await database.read((sql) => getMachine(sql, machine));
    assert.deepEqual([away?.state, away?.evidence, away?.seenAt], ['away', 'no answer', 1_000]);
    await database.write((sql) => upsertMachine(sql, { ...declared, boot: 'b2', at: 4_000 }));
    const back = await database.read((sql) => getMachine(sql, machine));
    assert.deepEqual(
      [back?.state, back?.evidence, back?.createdAt, back?.seenAt, back?.epoch, back?.boot],
      ['up', undefined, 1_000, 4_000, 1, 'b2'],
    );
  });

  test('a machine that is gone is not reached, not marked and listed only on demand', async () => {
    await using database = await open();
    await database.write(async (sql) => {
      await upsertMachine(sql, declared);
      await markMachine(sql, machine, { state: 'gone', at: 5_000, evidence: 'ended' });
      await markMachine(sql, machine, { state: 'up', at: 6_000 });
    });
    assert.deepEqual(await database.read((sql) => listMachines(sql)), []);
    assert.deepEqual(await database.read(machineIds), []);
    const [gone] = await database.read((sql) => listMachines(sql, { gone: 10 }));
    assert.deepEqual([gone?.state, gone?.goneAt, gone?.evidence], ['gone', 5_000, 'ended']);
    await assert.rejects(
      database.read((sql) => connectMachine(sql, machine)),
      (error) => isCode(error, 'not-found'),
    );
  });

  test('epochs go up by one, also when many ask at once', async () => {
    await using database = await open();
    await database.write((sql) => upsertMachine(sql, declared));
    const epochs = await Promise.all(Array.from({ length: 20 }, () => database.write((sql) => nextEpoch(sql, machine))));
    assert.deepEqual(
      epochs.toSorted((a, b) => a - b),
      Array.from({ length: 20 }, (_, index) => index + 1),
    );
    await assert.rejects(
      database.write((sql) => nextEpoch(sql, parseMachineId('none'))),
      (error) => isCode(error, 'not-found'),
    );
  });
});

eachDatabase('leases', (open) => {
  test('a machine has one holder at a time, however many ask at once', async () => {
    await using database = await open();
    await database.write((sql) => upsertMachine(sql, declared));
    const ids = Array.from({ length: 20 }, (_, index) => parseLeaseId(`L${String(index).padStart(16, '0')}`));
    const leases = await Promise.all(ids.map((id) => database.write((sql) => insertLease(sql, { id, machine, holder, at: 1 }))));
    const got = leases.filter((granted) => granted !== undefined);
    assert.equal(got.length, 1);
    assert.deepEqual(await database.read((sql) => heldLeases(sql)), got);
    assert.deepEqual(await database.read((sql) => leaseOfHolder(sql, holder)), got[0]);
    assert.deepEqual(await database.read((sql) => leaseOfMachine(sql, machine)), got[0]);
    assert.deepEqual(await database.read(leasedMachines), new Set([machine]));
  });

  test('each acquisition has a higher epoch', async () => {
    await using database = await open();
    const first = await leased(database);
    await database.write((sql) => endLease(sql, lease, { epoch: first, at: 3_000 }));
    assert.equal(await database.read((sql) => leaseOfMachine(sql, machine)), undefined);
    assert.deepEqual(await database.read(leasedMachines), new Set());
    const second = await database.write((sql) => insertLease(sql, { id: other, machine, holder, at: 4_000 }));
    assert.deepEqual([first, second?.state.epoch], [1, 2]);
    const ended = await database.read((sql) => getLease(sql, lease));
    assert.deepEqual(ended?.state, { kind: 'ended', epoch: 1, acquiredAt: 2_000, endedAt: 3_000, how: 'released' });
  });

  test('an old holder that wakes up and writes is refused, and nothing of its write is there', async () => {
    await using database = await open();
    const old = { lease, epoch: await leased(database) };
    await writeAsHolder(database, old, (sql) => setSetting(sql, 'result', 'old'));
    const current = { lease, epoch: await database.write((sql) => takeOverLease(sql, lease)) };
    assert.equal(current.epoch, old.epoch + 1);
    const late = writeAsHolder(database, old, (sql) => setSetting(sql, 'result', 'late'));
    await assert.rejects(late, (error) => isCode(error, 'stale'));
    assert.equal(await database.read((sql) => getSetting(sql, 'result')), 'old');
    await writeAsHolder(database, current, (sql) => setSetting(sql, 'result', 'new'));
    await assert.rejects(
      database.write((sql) => endLease(sql, lease, { epoch: old.epoch, at: 9 })),
      (error) => isCode(error, 'stale'),
    );
    assert.equal(await database.read((sql) => getSetting(sql, 'result')), 'new');
  });

  test('an old holder in the middle of its transaction writes either before the take-over or not at all', async () => {
    await using database = await open();
    const old = { lease, epoch: await leased(database) };
    const fenced = Promise.withResolvers<void>();
    const writing = writeAsHolder(database, old, async (sql) => {
      fenced.resolve();
      await setSetting(sql, 'result', 'old');
      return 'written';
    });
    await fenced.promise;
    const taken = database.write(async (sql) => {
      const epoch = await takeOverLease(sql, lease);
      return [epoch, await getSetting(sql, 'result')];
    });
    assert.equal(await writing, 'written');
    assert.deepEqual(await taken, [old.epoch + 1, 'old']);
  });

  test('the holder of a lease that ended is refused under the same epoch, and ending it again is no change', async () => {
    await using database = await open();
    const epoch = await leased(database);
    await database.write((sql) => endLease(sql, lease, { at: 5_000 }));
    await assert.rejects(
      database.write((sql) => assertHeld(sql, { lease, epoch })),
      (error) => isCode(error, 'stale'),
    );
    await database.write((sql) => endLease(sql, lease, { epoch, at: 6_000 }));
    const ended = await database.read((sql) => getLease(sql, lease));
    assert.deepEqual(ended?.state, { kind: 'ended', epoch, acquiredAt: 2_000, endedAt: 5_000, how: 'lost' });
    assert.equal(await database.read((sql) => leaseOfHolder(sql, holder)), undefined);
    await assert.rejects(
      database.write((sql) => takeOverLease(sql, lease)),
      (error) => isCode(error, 'conflict'),
    );
  });

  test('a lease passes to another holder under the next epoch, and in no moment is the machine free', async () => {
    await using database = await open();
    const epoch = await leased(database);
    const session: LeaseHolder = { kind: 'session', id: 'S0000000000000001' };
    const passed = await database.write((sql) => passLease(sql, { lease, epoch }, session));
    assert.equal(passed, epoch + 1);
    assert.equal(await database.read((sql) => leaseOfHolder(sql, holder)), undefined);
    const held = await database.read((sql) => leaseOfHolder(sql, session));
    assert.deepEqual([held?.id, held?.state.epoch], [lease, passed]);
    for (const stale of [
      () => database.write((sql) => passLease(sql, { lease, epoch }, holder)),
      () => database.write((sql) => assertHeld(sql, { lease, epoch })),
    ])
      await assert.rejects(stale(), (error) => isCode(error, 'stale'));
  });

  test('the last holder of a machine is known after its end', async () => {
    await using database = await open();
    assert.equal(await database.read((sql) => lastLease(sql, machine)), undefined);
    const epoch = await leased(database);
    await database.write((sql) => endLease(sql, lease, { epoch, at: 3_000 }));
    assert.equal((await database.read((sql) => lastLease(sql, machine)))?.holder.id, holder.id);
    await database.write((sql) => insertLease(sql, { id: other, machine, holder: { kind: 'session', id: 'S1' }, at: 3_000 }));
    assert.equal((await database.read((sql) => lastLease(sql, machine)))?.holder.id, 'S1');
  });
});

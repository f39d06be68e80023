import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { BuildId, LeaseId, MachineId } from '@croft/domain/names';
import { CroftError } from '@croft/runtime/errors';
import { silentLog } from '@croft/runtime/log';
import { FakeClock, seededRandom } from '@croft/runtime/testing';
import { createDrivers } from './drive-builds.ts';
import type { FarmDeps, Work } from './work.ts';

const work: Work = {
  build: 'B0123456789abcdef' as BuildId,
  attempt: 2,
  lease: { id: 'L00112233aabbccdd' as LeaseId, machine: 'local-1' as MachineId, epoch: 1 },
};

test('an attempt that cannot go on is tried again and seen meanwhile; one that lost its lease is let go', async () => {
  const clock = new FakeClock();
  let loads = 0;
  let failure = new CroftError('unavailable', 'the database is gone');
  const load = async (): Promise<never> => {
    loads += 1;
    throw failure;
  };
  const farm = { records: { load } } as unknown as FarmDeps;
  const ended = Promise.withResolvers<void>();
  const random = seededRandom(1);
  await using drivers = createDrivers({ farm, clock, random, log: silentLog, onEnd: () => ended.resolve(), onTrouble() {} });
  assert.deepEqual(drivers.troubles(), []);
  drivers.start(work);
  const since = clock.now();
  await clock.advance(60_000);
  assert.ok(loads > 2);
  const text = 'attempt 2 cannot go on and is tried again: the database is gone';
  assert.deepEqual(drivers.troubles(), [{ what: `build ${work.build}`, text, since, build: work.build }]);
  failure = new CroftError('stale', 'another epoch');
  await clock.advance(60_000);
  await ended.promise;
  assert.deepEqual([drivers.troubles(), drivers.list()], [[], []]);
});

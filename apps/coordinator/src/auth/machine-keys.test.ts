import assert from 'node:assert/strict';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import { DAY, HOUR } from '@croft/runtime/clock';
import { isCode } from '@croft/runtime/errors';
import { silentLog } from '@croft/runtime/log';
import { systemRandom } from '@croft/runtime/random';
import { FakeClock } from '@croft/runtime/testing';
import { openDatabase } from '@croft/store/database';
import { createMachineKeys, type MachineKeys } from './machine-keys.ts';

async function openKeys(context: TestContext): Promise<{ keys: MachineKeys; clock: FakeClock }> {
  const dir = await mkdtemp(join(tmpdir(), 'croft-keys-'));
  context.after(() => rm(dir, { recursive: true }));
  const database = await openDatabase({ url: `sqlite:${join(dir, 'croft.db')}`, durability: 'kill', log: silentLog });
  context.after(() => database[Symbol.asyncDispose]());
  const clock = new FakeClock();
  return { keys: createMachineKeys({ database, clock, random: systemRandom }), clock };
}

const wish = { name: 'rack 3', hostType: 'host-a', expiresInMs: 10 * DAY };

test('a key lets in machines of its host type, until it expires or is revoked, and is not shown again', async (context) => {
  const { keys, clock } = await openKeys(context);
  const { secret, id } = await keys.create(wish);
  assert.equal(await keys.lets(secret, 'host-a'), true);
  assert.equal(await keys.lets(secret, 'host-b'), false);
  assert.doesNotMatch(JSON.stringify(await keys.list()), new RegExp(secret));
  await clock.advance(10 * DAY);
  assert.equal(await keys.lets(secret, 'host-a'), false);
  const other = await keys.create(wish);
  await keys.revoke(other.id);
  assert.equal(await keys.lets(other.secret, 'host-a'), false);
  await assert.rejects(keys.revoke('K0'), (error) => isCode(error, 'not-found'));
  assert.deepEqual((await keys.list()).map((key) => key.id).toSorted(), [id, other.id].toSorted());
});

test('a key that has let somebody in is revoked at once, also while somebody comes with it', async (context) => {
  const { keys } = await openKeys(context);
  const { secret, id } = await keys.create(wish);
  for (let count = 0; count < 3; count += 1) assert.equal(await keys.lets(secret, 'host-a'), true);
  const coming = keys.lets(secret, 'host-a');
  await keys.revoke(id);
  await coming;
  assert.equal(await keys.lets(secret, 'host-a'), false);
});

test('what is no key lets nobody in', async (context) => {
  const { keys } = await openKeys(context);
  const { secret, id } = await keys.create(wish);
  for (const wrong of ['', id, 'croftkey_', secret.slice(0, -1), `${secret}0`, secret.toUpperCase()]) {
    assert.equal(await keys.lets(wrong, 'host-a'), false, wrong);
  }
});

test('the use of a key is noted once an hour, however many machines come with it', async (context) => {
  const { keys, clock } = await openKeys(context);
  const { secret } = await keys.create(wish);
  const usedAt = clock.now();
  await keys.lets(secret, 'host-a');
  await clock.advance(HOUR - 1);
  await keys.lets(secret, 'host-a');
  assert.equal((await keys.list())[0]?.lastUsedAt, usedAt);
  await clock.advance(1);
  await keys.lets(secret, 'host-a');
  assert.equal((await keys.list())[0]?.lastUsedAt, usedAt + HOUR);
});

/** The farm's own keys outlive its processes, are shared by them, and are made once. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import ssh2 from 'ssh2';
import { setSetting } from '@croft/store/settings';
import { openFarmKeys } from './farm-keys.ts';
import { openTestStore } from './testing.ts';

test('two coordinators that start at once have the same keys, and so has the next one', async () => {
  await using database = await openTestStore();
  const [one, two] = await Promise.all([openFarmKeys(database), openFarmKeys(database)]);
  assert.deepEqual(one, two);
  assert.deepEqual(await openFarmKeys(database), one);
  const types = one.hosts.map(({ key }) => key.type);
  assert.deepEqual(types, ['ssh-ed25519', 'ssh-rsa']);
  assert.ok(!one.hosts.some(({ key }) => key.blob.equals(one.authority.key.blob)));
  for (const { key, secret } of one.hosts) {
    const parsed = ssh2.utils.parseKey(secret);
    assert.ok(!(parsed instanceof Error));
    assert.deepEqual(parsed.getPublicSSH(), key.blob);
  }
});

test('damaged keys are a failure that says what to do, and are not replaced', async () => {
  await using database = await openTestStore();
  await database.write((sql) => setSetting(sql, 'ssh-host-keys', 'gone'));
  await assert.rejects(openFarmKeys(database), /ssh-host-keys in the database is damaged/);
});

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { isCode } from '@croft/runtime/errors';
import { insertSshKey, removeSshKey, sshKeysByFingerprint, sshKeysOf, touchSshKey, type NewSshKey } from './ssh-keys.ts';
import { eachDatabase } from './testing.ts';

const key: NewSshKey = {
  id: 'H1',
  person: 'ann',
  name: 'laptop',
  type: 'ssh-ed25519',
  blob: 'AAAA',
  fingerprint: 'SHA256:one',
  addedAt: 1_000,
};

eachDatabase('ssh keys', (open) => {
  test('two people may have the same key, one person has it once', async () => {
    await using database = await open();
    await database.write((sql) => insertSshKey(sql, key));
    await database.write((sql) => insertSshKey(sql, { ...key, id: 'H2', person: 'bob' }));
    await assert.rejects(
      database.write((sql) => insertSshKey(sql, { ...key, id: 'H3' })),
      (error) => isCode(error, 'conflict'),
    );
    const found = await database.read((sql) => sshKeysByFingerprint(sql, 'SHA256:one'));
    assert.deepEqual(found, [
      { person: 'ann', blob: 'AAAA' },
      { person: 'bob', blob: 'AAAA' },
    ]);
  });

  test('a person sees their own, newest first, with the last use, and removes no other’s', async () => {
    await using database = await open();
    await database.write(async (sql) => {
      await insertSshKey(sql, key);
      await insertSshKey(sql, { ...key, id: 'H2', fingerprint: 'SHA256:two', addedAt: 2_000 });
      await touchSshKey(sql, { person: 'ann', fingerprint: 'SHA256:two', at: 3_000 });
      await removeSshKey(sql, { person: 'bob', id: 'H1' });
    });
    const own = await database.read((sql) => sshKeysOf(sql, 'ann'));
    assert.deepEqual(
      own.map(({ id, lastUsedAt }) => [id, lastUsedAt]),
      [
        ['H2', 3_000],
        ['H1', undefined],
      ],
    );
    await database.write((sql) => removeSshKey(sql, { person: 'ann', id: 'H1' }));
    assert.equal((await database.read((sql) => sshKeysOf(sql, 'ann'))).length, 1);
  });
});

/** The farm's own keys outlive its processes, are shared by them, and are made once. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import ssh2 from 'ssh2';
import { CroftError, errorText } from '@croft/runtime/errors';
import { getSetting, setSetting } from '@croft/store/settings';
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

/** As an older release may have stored it: the library cuts off the zeros of one public half in 256. */
function cutKey(): { line: string; secret: string } {
  for (;;) {
    const pair = ssh2.utils.generateKeyPairSync('ed25519', { comment: 'host' });
    if (ssh2.utils.parseKey(pair.private) instanceof Error) return { line: pair.public, secret: pair.private };
  }
}

test('a host key that was stored without its first zeros is whole again, and stays the same key', async () => {
  await using database = await openTestStore();
  const { hosts } = await openFarmKeys(database);
  const rsa = hosts.flatMap(({ key, secret }) => (key.type === 'ssh-rsa' ? [{ line: key.line, secret }] : []));
  const cut = cutKey();
  await database.write((sql) => setSetting(sql, 'ssh-host-keys', [cut, ...rsa]));
  const read = await openFarmKeys(database);
  assert.deepEqual(await openFarmKeys(database), read);
  const [host] = read.hosts;
  const parsed = ssh2.utils.parseKey(host?.secret ?? '');
  assert.ok(host && !(parsed instanceof Error));
  assert.deepEqual(parsed.getPublicSSH(), host.key.blob);
  const kept = Buffer.from(cut.line.split(' ')[1] ?? '', 'base64').subarray(4 + 'ssh-ed25519'.length + 4);
  assert.deepEqual(host.key.blob.subarray(-32), Buffer.concat([Buffer.alloc(32 - kept.length), kept]));
});

test('keys that are damaged otherwise are a failure that says which and what to do, and are not replaced', async () => {
  const { line, secret } = cutKey();
  const damaged: readonly (readonly [name: string, value: unknown, why: RegExp])[] = [
    ['ssh-host-keys', 'gone', /expected array/],
    ['ssh-host-keys', [{ line, secret: secret.replace(/\n.{20}/, '\n') }], /cut off/],
    ['ssh-host-keys', [{ line, secret: 'gone' }], /cut off/],
    ['ssh-host-keys', [{ line, secret: withOtherHalf(secret) }], /do not belong together/],
    ['ssh-host-keys', [{ line: 'ssh-rsa AAAA', secret: 'gone' }], /nsupported key format/],
    ['ssh-authority', 'gone', /DECODER|PEM/],
  ];
  for (const [name, value, why] of damaged) {
    await using database = await openTestStore();
    await database.write((sql) => setSetting(sql, name, value));
    await assert.rejects(openFarmKeys(database), (error) => {
      assert.ok(error instanceof CroftError);
      assert.match(errorText(error), new RegExp(`^the setting ${name} in the database is damaged`));
      assert.match(errorText(error), why);
      assert.match(error.hint ?? '', /backup, or remove/);
      return true;
    });
    assert.deepEqual(await database.read((sql) => getSetting(sql, name)), value);
  }
});

/** Its private half is another one. */
function withOtherHalf(pem: string): string {
  const bytes = Buffer.from(pem.replaceAll(/-----[^-]*-----/g, ''), 'base64');
  const at = bytes.lastIndexOf('ssh-ed25519') + 'ssh-ed25519'.length + 4;
  const half = at + bytes.readUInt32BE(at - 4) + 4;
  bytes[half] = (bytes[half] ?? 0) ^ 1;
  return `-----BEGIN OPENSSH PRIVATE KEY-----\n${bytes.toString('base64')}\n-----END OPENSSH PRIVATE KEY-----\n`;
}

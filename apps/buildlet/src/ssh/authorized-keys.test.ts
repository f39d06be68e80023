/** Keys in real home directories, and users and keys that are none. buildlet.md 1.12. */
import assert from 'node:assert/strict';
import { chmod, chown, mkdir, mkdtempDisposable, readFile, stat, symlink, writeFile } from 'node:fs/promises';
import { tmpdir, userInfo } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { systemClock } from '@croft/runtime/clock';
import { isCode } from '@croft/runtime/errors';
import { findAccount, installKey, type Account } from './authorized-keys.ts';

const key = 'ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIHVzZXI= somebody@example';
const me = (home: string): Account => ({ home, uid: userInfo().uid, gid: userInfo().gid });

async function withHome(use: (home: string, install: (key: string, account?: Account) => Promise<void>) => Promise<void>): Promise<void> {
  await using dir = await mkdtempDisposable(join(tmpdir(), 'croft-home-'));
  await use(dir.path, (line, account = me(dir.path)) => installKey('me', line, { clock: systemClock, find: async () => account }));
}

const modeOf = async (path: string): Promise<string> => ((await stat(path)).mode & 0o777).toString(8);

test('a key is added once, in a directory and a file that are the user’s alone', async () => {
  await withHome(async (home, install) => {
    await install(key);
    await install(key);
    await install('ssh-rsa AAAAB3NzaC1yc2E= other');
    assert.equal(await readFile(join(home, '.ssh/authorized_keys'), 'utf8'), `${key}\nssh-rsa AAAAB3NzaC1yc2E= other\n`);
    assert.deepEqual([await modeOf(join(home, '.ssh')), await modeOf(join(home, '.ssh/authorized_keys'))], ['700', '600']);
  });
});

test('what is there stays, with its mode, and a last line without an end gets one', async () => {
  await withHome(async (home, install) => {
    await mkdir(join(home, '.ssh'), { mode: 0o755 });
    await writeFile(join(home, '.ssh/authorized_keys'), '# mine', { mode: 0o640 });
    await install(key);
    assert.equal(await readFile(join(home, '.ssh/authorized_keys'), 'utf8'), `# mine\n${key}\n`);
    assert.deepEqual([await modeOf(join(home, '.ssh')), await modeOf(join(home, '.ssh/authorized_keys'))], ['700', '640']);
  });
});

test('names that lead elsewhere and lines that are no key change nothing', async () => {
  await withHome(async (home, install) => {
    for (const user of ['', '.', '..', '../../root', 'a/b', 'a\nb', '-rf', 'a b', 'x'.repeat(65)])
      await assert.rejects(
        installKey(user, key, { clock: systemClock, find: async () => me(home) }),
        (error) => isCode(error, 'invalid'),
        user,
      );
    for (const line of [
      '',
      'ssh-ed25519',
      `${key}\nssh-rsa AAAA x`,
      `command="sh" ${key}`,
      `${key}\u0007`,
      'nonsense AAAA',
      `ssh-rsa ${'A'.repeat(20_000)}`,
    ])
      await assert.rejects(install(line), (error) => isCode(error, 'invalid'), line.slice(0, 40));
    await assert.rejects(stat(join(home, '.ssh')));
  });
});

test('a user that the machine does not know has no home', async () => {
  await assert.rejects(installKey('no-such-user-here', key, { clock: systemClock }), (error) => isCode(error, 'not-found'));
});

test('a file that is none is a failure that says so, and nobody waits for it', async () => {
  await withHome(async (home, install) => {
    await mkdir(join(home, '.ssh/authorized_keys'), { recursive: true });
    await assert.rejects(install(key), /write authorized_keys .*is no file/);
  });
});

const notRoot = process.getuid?.() === 0 ? false : 'needs root, to write for another user';

test('root writes as the user: a link to a file of somebody else’s gives no way into it', { skip: notRoot }, async () => {
  await withHome(async (home, install) => {
    const nobody: Account = { home: join(home, 'of-nobody'), uid: 65_534, gid: 65_534 };
    await chmod(home, 0o755);
    await install(key, nobody);
    for (const path of ['.', '.ssh', '.ssh/authorized_keys']) assert.equal((await stat(join(nobody.home, path))).uid, 65_534, path);

    const other: Account = { ...nobody, home: join(home, 'of-other') };
    await mkdir(join(other.home, '.ssh'), { recursive: true });
    await chown(other.home, 65_534, 65_534);
    await chown(join(other.home, '.ssh'), 65_534, 65_534);
    await writeFile(join(home, 'precious'), 'untouched\n', { mode: 0o644 });
    await symlink(join(home, 'precious'), join(other.home, '.ssh/authorized_keys'));
    await assert.rejects(install(key, other), /write authorized_keys/);
    assert.equal(await readFile(join(home, 'precious'), 'utf8'), 'untouched\n');
  });
});

test('who a user is comes from the system’s list', async () => {
  await using dir = await mkdtempDisposable(join(tmpdir(), 'croft-passwd-'));
  const file = join(dir.path, 'passwd');
  await writeFile(file, 'root:x:0:0:root:/root:/bin/sh\nbuilder:x:1001:1002:,,,:/srv/builder:/bin/sh\nbroken:x:::\n');
  assert.deepEqual(await findAccount('builder', file), { home: '/srv/builder', uid: 1001, gid: 1002 });
  assert.equal(await findAccount('broken', file), undefined);
  assert.equal(await findAccount('nobody-of-that-name', file), undefined);
});

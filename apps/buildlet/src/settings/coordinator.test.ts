/** What a machine in reverse mode is told about its coordinator, and the keys that it may show. buildlet.md 1.13 and 1.15. */
import assert from 'node:assert/strict';
import { chmod, mkdtempDisposable, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { inspect } from 'node:util';
import { isCode } from '@croft/runtime/errors';
import { reverseSettings, type ReverseFlags, type ReverseSettings } from './coordinator.ts';

const flags: ReverseFlags = {
  hostType: 'host-linux-test',
  coordinator: 'localhost:8119',
  hostName: 'worker-1',
  caFile: undefined,
  keyFile: undefined,
  insecureDev: true,
  reconnect: true,
};
const settled = (changed: Partial<ReverseFlags>, env: NodeJS.ProcessEnv = {}): ReverseSettings =>
  reverseSettings({ ...flags, ...changed }, env);
const invalid = (pattern: RegExp) => (error: unknown) => isCode(error, 'invalid') && pattern.test(error.message);

async function withKey(use: (path: string, dir: string) => Promise<void>): Promise<void> {
  await using dir = await mkdtempDisposable(join(tmpdir(), 'croft-key-'));
  const path = join(dir.path, '.gobuildkey-host-linux-test');
  await writeFile(path, ' machine-key\n', { mode: 0o600 });
  await use(path, dir.path);
}

test('the coordinator has port 443 unless it says another', () => {
  const place = (coordinator: string) => settled({ coordinator, insecureDev: true, hostName: 'x' }).coordinator;
  assert.deepEqual(place('localhost'), { host: 'localhost', port: 443 });
  assert.deepEqual(place('127.0.0.1:8119'), { host: '127.0.0.1', port: 8119 });
  assert.deepEqual(place('[::1]:8119'), { host: '::1', port: 8119 });
  for (const wrong of ['', ':443', 'localhost:99999', 'http://localhost/', '[::1', 'a b'])
    assert.throws(() => place(wrong), invalid(/-coordinator/), wrong);
});

test('Go’s coordinator is at 443', async () => {
  await withKey(async (keyFile) => {
    assert.deepEqual(settled({ coordinator: 'farmer.golang.org', insecureDev: false, keyFile }).coordinator, {
      host: 'farmer.golang.org',
      port: 443,
    });
  });
});

test('the public key is shown on loopback alone', () => {
  assert.equal(settled({}).key.reveal(), 'ff2a61a8962c12bee8a9e10e8ee37371');
  assert.equal(settled({ hostType: 'linux-amd64' }).key.reveal(), '8b3dbf220b21848be6884e982b34702e');
  for (const coordinator of ['farm.example:443', '10.0.0.1:443', 'localhost.example:443'])
    assert.throws(() => settled({ coordinator }), invalid(/--insecure-dev is for a coordinator on this machine/));
});

test('a key of its own comes from --key-file, then GO_BUILD_KEY_PATH, then the home directory, trimmed', async () => {
  await withKey(async (path, HOME) => {
    const key = (changed: Partial<ReverseFlags>, env: NodeJS.ProcessEnv): string =>
      settled({ insecureDev: false, ...changed }, env).key.reveal();
    assert.equal(key({ keyFile: path }, {}), 'machine-key');
    assert.equal(key({}, { GO_BUILD_KEY_PATH: path }), 'machine-key');
    assert.equal(key({}, { HOME }), 'machine-key');
    assert.equal(key({ insecureDev: true }, { GO_BUILD_KEY_PATH: path }), 'machine-key', 'a key that is given is shown');
    assert.ok(!inspect(settled({ keyFile: path })).includes('machine-key'));
  });
});

test('a key is removed once it was read where that was asked for', async () => {
  await withKey(async (path) => {
    settled({ insecureDev: false }, { GO_BUILD_KEY_PATH: path, GO_BUILD_KEY_DELETE_AFTER_READ: 'false' });
    settled({ insecureDev: false }, { GO_BUILD_KEY_PATH: path, GO_BUILD_KEY_DELETE_AFTER_READ: 'true' });
    await assert.rejects(stat(path));
  });
});

test('a key that is missing, empty, no line of text or open to others is refused', async () => {
  assert.throws(
    () => settled({ insecureDev: false, keyFile: '/no/such/key' }),
    invalid(/read the key of host-linux-test from \/no\/such\/key/),
  );
  await withKey(async (keyFile) => {
    await chmod(keyFile, 0o640);
    assert.throws(() => settled({ keyFile }), invalid(/others can read it: chmod 600/));
    await chmod(keyFile, 0o600);
    for (const text of ['', ' \n', 'two\nlines', 'key\u0000', 'ké']) {
      await writeFile(keyFile, text);
      assert.throws(() => settled({ keyFile }), invalid(/empty or not one line/));
    }
  });
});

test('names that cannot stand in a header are refused', () => {
  assert.throws(() => settled({ hostType: 'a/b' }), invalid(/-reverse-type/));
  assert.throws(() => settled({ hostName: 'a\r\nX: y' }), invalid(/not a host name/));
  assert.equal(settled({ hostName: undefined }, { HOSTNAME: 'of-env' }).hostName, 'of-env');
  assert.notEqual(settled({ hostName: undefined }).hostName, '');
});

test('proxies come from the environment in either spelling', () => {
  assert.deepEqual(settled({}, { https_proxy: 'a', NO_PROXY: 'b' }).proxies, { https: 'a', none: 'b' });
  assert.throws(() => settled({ caFile: '/no/such/ca' }), invalid(/--coordinator-ca/));
});

import assert from 'node:assert/strict';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { inspect } from 'node:util';
import { isCode } from '@croft/runtime/errors';
import { readConfig } from './config.ts';

test('flags take one dash or two, with a space or an equals sign, as Go’s do', () => {
  const env = { META_password: 'p' };
  const config = readConfig(
    ['-workdir', '/w', '--listen=unix:/run/b/s', '-halt', '--orphaned-after=1000', '-spool-limit', '5', '--low-water=0'],
    env,
  );
  assert.equal(config.workDir, '/w');
  assert.equal(config.stateDir, '/w.state');
  assert.deepEqual(config.listen, { kind: 'unix', path: '/run/b/s' });
  assert.equal(config.halt, true);
  assert.deepEqual([config.orphanedAfterMs, config.spoolLimitBytes, config.lowWaterBytes], [1000, 5, 0]);
  assert.equal(readConfig(['-halt=false'], { META_password: 'p' }).halt, false);
  assert.equal(readConfig([], { META_password: 'p' }).halt, false);
});

test('addresses are a socket, host:port, or AUTO', () => {
  const listen = (text: string) => readConfig(['-listen', text], { META_password: 'p' }).listen;
  assert.deepEqual(listen('AUTO'), { kind: 'tcp', host: '127.0.0.1', port: 5936 });
  assert.deepEqual(listen('localhost:80'), { kind: 'tcp', host: 'localhost', port: 80 });
  assert.deepEqual(listen('[::1]:8080'), { kind: 'tcp', host: '::1', port: 8080 });
  assert.deepEqual(listen(':80'), { kind: 'tcp', host: '0.0.0.0', port: 80 });
  for (const wrong of ['unix:', 'unix:relative', 'nothing', 'host:99999', 'host:'])
    assert.throws(() => listen(wrong), /listen: is neither/);
});

test('the password comes from the environment in either spelling or from a file, is taken out and never printed', async () => {
  const dir = await mkdtemp(join(tmpdir(), 'croft-config-'));
  try {
    await writeFile(join(dir, 'password'), 'from-file\n');
    for (const [name, value, expected] of [
      ['META_password', 'one', 'one'],
      ['META_PASSWORD', 'two', 'two'],
      ['META_password', `@${join(dir, 'password')}`, 'from-file'],
    ] as const) {
      const env: NodeJS.ProcessEnv = { [name]: value };
      const config = readConfig([], env);
      assert.equal(config.password?.reveal(), expected);
      assert.deepEqual(env, {});
      assert.ok(!inspect(config).includes(expected) && !JSON.stringify(config).includes(expected));
    }
    assert.throws(() => readConfig([], { META_password: '@/no/such/file' }), /read the password from \/no\/such\/file/);
  } finally {
    await rm(dir, { recursive: true });
  }
});

test('mistakes are listed together, and a start without a password is refused', () => {
  const invalid = (error: unknown): boolean => isCode(error, 'invalid');
  assert.throws(
    () => readConfig(['--orphaned-after=x', '--low-water=-1', '--typo=1'], { META_password: 'p' }),
    (error) => invalid(error) && /3 mistake/.test(String(error)),
  );
  assert.throws(() => readConfig(['workdir'], { META_password: 'p' }), invalid);
  assert.throws(() => readConfig(['--password=p'], {}), invalid);
  assert.throws(() => readConfig([], {}), /there is no password/);
  assert.equal(readConfig(['--insecure-listen'], {}).password, undefined);
  assert.equal(readConfig(['-version'], {}).version, true);
});

import assert from 'node:assert/strict';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { inspect } from 'node:util';
import { systemClock } from '@croft/runtime/clock';
import { isCode } from '@croft/runtime/errors';
import { readConfig, type Config } from './config.ts';

/** As on a machine of no cloud. */
const read = (args: readonly string[], env: NodeJS.ProcessEnv = { META_password: 'p' }): Promise<Config> =>
  readConfig(['--cloud=none', ...args], env, { clock: systemClock });
const invalid = (error: unknown): boolean => isCode(error, 'invalid');

test('flags take one dash or two, with a space or an equals sign, as Go’s do', async () => {
  const config = await read([
    '-workdir',
    '/w',
    '--listen=unix:/run/b/s',
    '-halt',
    '--orphaned-after=1000',
    '-spool-limit',
    '5',
    '--low-water=0',
  ]);
  assert.equal(config.workDir, '/w');
  assert.equal(config.stateDir, '/w.state');
  assert.deepEqual(config.listen, { kind: 'unix', path: '/run/b/s' });
  assert.deepEqual([config.orphanedAfterMs, config.spoolLimitBytes, config.lowWaterBytes], [1000, 5, 0]);
  assert.equal((await read(['-version'], {})).version, true);
});

test('a machine is switched off by /halt only where that was asked for', async () => {
  assert.deepEqual((await read([])).power, { halt: false, reboot: false, builderEnv: undefined });
  assert.deepEqual((await read(['-halt=false', '-reboot=0'])).power, { halt: false, reboot: false, builderEnv: undefined });
  const { power } = await read(['-halt', '-reboot=t'], { META_password: 'p', GO_BUILDER_ENV: 'qemu_vm' });
  assert.deepEqual(power, { halt: true, reboot: true, builderEnv: 'qemu_vm' });
});

test('addresses are a socket, host:port, or AUTO', async () => {
  const listen = async (text: string) => (await read(['-listen', text])).listen;
  assert.deepEqual(await listen('AUTO'), { kind: 'tcp', host: '127.0.0.1', port: 5936 });
  assert.deepEqual(await listen('localhost:80'), { kind: 'tcp', host: 'localhost', port: 80 });
  assert.deepEqual(await listen('[::1]:8080'), { kind: 'tcp', host: '::1', port: 8080 });
  assert.deepEqual(await listen(':80'), { kind: 'tcp', host: '0.0.0.0', port: 80 });
  for (const wrong of ['unix:', 'unix:relative', 'nothing', 'host:99999', 'host:', '::1:80', '[::1:80'])
    await assert.rejects(listen(wrong), /listen: is neither/, wrong);
});

test('on a cloud AUTO is the port that its coordinator expects', async () => {
  const auto = async (cloud: string, env: NodeJS.ProcessEnv) =>
    (await readConfig([`--cloud=${cloud}`], env, { clock: systemClock })).listen;
  const secured = { META_password: 'p', META_tls_cert: 'cert', META_tls_key: 'key' };
  assert.deepEqual(await auto('gce', secured), { kind: 'tcp', host: '0.0.0.0', port: 443 });
  assert.deepEqual(await auto('ec2', { META_password: 'p' }), { kind: 'tcp', host: '0.0.0.0', port: 80 });
});

test('secrets come from the environment in either spelling or from a file, are taken out and never printed', async () => {
  const dir = await mkdtemp(join(tmpdir(), 'croft-config-'));
  try {
    await writeFile(join(dir, 'password'), 'from-file\n');
    for (const [name, value, expected] of [
      ['META_password', 'one', 'one'],
      ['META_PASSWORD', 'two', 'two'],
      ['META_password', `@${join(dir, 'password')}`, 'from-file'],
    ] as const) {
      const env: NodeJS.ProcessEnv = { [name]: value, META_TLS_CERT: 'certificate', META_tls_key: 'secret-key' };
      const config = await read([], env);
      assert.equal(config.password?.reveal(), expected);
      assert.equal(config.tls?.cert, 'certificate');
      assert.equal(config.tls?.key.reveal(), 'secret-key');
      assert.deepEqual(env, {});
      for (const secret of [expected, 'secret-key'])
        assert.ok(!inspect(config).includes(secret) && !JSON.stringify(config).includes(secret));
    }
    await assert.rejects(read([], { META_password: '@/no/such/file' }), /read the password from \/no\/such\/file/);
  } finally {
    await rm(dir, { recursive: true });
  }
});

test('half of a certificate’s pair is refused in the words of Go’s buildlet', async () => {
  const text = 'tls-cert and tls-key must both be supplied, or neither.';
  for (const half of [{ META_tls_cert: 'c' }, { META_TLS_KEY: 'k' }])
    await assert.rejects(read([], { META_password: 'p', ...half }), (error) => invalid(error) && (error as Error).message === text);
});

test('mistakes are listed together, and a start without a password is refused', async () => {
  await assert.rejects(
    read(['--orphaned-after=x', '--low-water=-1', '--typo=1']),
    (error) => invalid(error) && /3 mistake/.test(String(error)),
  );
  for (const wrong of ['workdir', '--password=p', '-tlsCert=x', '--cloud=moon']) await assert.rejects(read([wrong]), invalid, wrong);
  await assert.rejects(read([], {}), /there is no password/);
  assert.equal((await read(['--insecure-listen'], {})).password, undefined);
});

test('flags of Go’s programs for what is not spoken here are refused with what to do instead', async () => {
  await assert.rejects(read(['-reverse=linux-amd64,linux-386']), /-reverse names builders of 2017.*-reverse-type/);
  await assert.rejects(read(['-swarming-bot']), /-swarming-bot .*-reverse-type/);
  await assert.rejects(read(['-gomote-server-addr', 'x:443']), /-gomote-server-addr .*-coordinator/);
});

/** Those who have not logged in, and what they are offered. And a machine that is not there. */
import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { test } from 'node:test';
import { createBuildlet } from '@croft/buildlet/client';
import { systemClock } from '@croft/runtime/clock';
import { openDoorStage, host, run } from './testing-door.ts';

const auditor = '/usr/bin/ssh-audit';
const without = existsSync(auditor) ? false : 'needs ssh-audit, as of Debian';

test('ssh-audit finds no weak algorithm', { skip: without }, async () => {
  await using stage = await openDoorStage();
  const { stdout } = await run(auditor, ['-n', '-p', String(stage.port), host]);
  const weak = stdout.split('\n').filter((line) => /\[(?:fail|warn)\]/.test(line) && !line.includes('kex-strict-s-v00')); // it does not know that yet
  assert.deepEqual(weak, []);
  assert.match(stdout, /\(kex\) curve25519-sha256@libssh\.org /);
});

test('passwords are not asked for, and ten failed logins close the door to that address for a while', async () => {
  await using stage = await openDoorStage();
  const first = await stage.ssh(['-o', 'PreferredAuthentications=password,keyboard-interactive', `ann-linux-0@${host}`, 'true']);
  assert.match(first.stderr, /Permission denied \(publickey\)/);
  for (let tries = 0; tries < 10; tries += 1) {
    const { stderr } = await stage.ssh([`ann-linux-0@${host}`, 'true'], { person: 'stranger' });
    assert.match(stderr, /Permission denied/, `try ${tries}`);
  }
  const { stderr } = await stage.ssh([`ann-linux-0@${host}`, 'true']);
  assert.doesNotMatch(stderr, /Permission denied/);
  assert.match(stderr, /closed|reset/i);
  const counted = await stage.metrics.text();
  for (const line of [
    'logins_total{result="none",method="none"} 1',
    'logins_total{result="refused",method="key"} 10',
    'limited_total{limit="logins"} 1',
  ])
    assert.ok(counted.includes(`\ncroft_ssh_${line}\n`), line);
});

test('a machine that died is named as the hop that failed, for a command, a shell and files', async () => {
  await using stage = await openDoorStage();
  const { enter } = stage.sessions;
  const dead = createBuildlet({ socketPath: `${stage.dir}/nobody`, password: '' }, { clock: systemClock });
  Object.assign(stage.sessions, { enter: async (...asked: Parameters<typeof enter>) => ({ ...(await enter(...asked)), buildlet: dead }) });
  const inst = `ann-linux-0@${host}`;
  for (const args of [
    [inst, 'true'],
    ['-tt', inst],
    ['-s', inst, 'sftp'],
  ]) {
    const { code, stdout, stderr } = await stage.ssh(args);
    assert.equal(code, 255);
    assert.match(stdout + stderr, /^# .*(?:buildlet|machine) .*(?:ENOENT|ECONNREFUSED|connect)/m);
  }
  assert.match(await stage.metrics.text(), /^croft_ssh_unreached_total 3$/m);
});

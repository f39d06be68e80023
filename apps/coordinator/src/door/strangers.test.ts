/** Those who have not logged in: what they are offered, and what garbage they may send. And a machine that is not there. */
import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import { test } from 'node:test';
import fc from 'fast-check';
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

async function goneAfter(port: number, content: Uint8Array): Promise<string> {
  const socket: Socket = connect(port, host);
  let said = '';
  socket.setEncoding('latin1').on('data', (text: string) => (said += text));
  socket.on('error', () => undefined);
  await once(socket, 'connect');
  socket.end(content);
  await once(socket, 'close', { signal: systemClock.deadline(20_000) });
  return said;
}

test('whatever bytes come before a login, the door stays open for others', async () => {
  await using stage = await openDoorStage();
  const version = Buffer.from('SSH-2.0-fuzz\r\n');
  const header = (length: number): Buffer =>
    Buffer.concat([version, Buffer.from([length >>> 24, length >>> 16, length >>> 8, length, 4, 20])]);
  await fc.assert(
    fc.asyncProperty(
      fc.constantFrom(Buffer.alloc(0), version, Buffer.from('GET / HTTP/1.1\r\n'), header(12), header(0xffffffff), header(40_000)),
      fc.uint8Array({ maxLength: 600 }),
      async (head, rest) => void (await goneAfter(stage.port, Buffer.concat([head, Buffer.from(rest)]))),
    ),
    { numRuns: 60 },
  );
  assert.equal((await stage.ssh([`ann-linux-0@${host}`, 'exit 4'])).code, 4);
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

/** People on a machine of a real farm, with the clients that they use. gomote-ssh.md 8, 9, acceptance 11 and 13. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { connect, createServer, type AddressInfo } from 'node:net';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { test } from 'node:test';
import { systemClock } from '@croft/runtime/clock';
import { freePort, openTerminal, runProgram, sshHost, startSshFarm, type SshFarm } from './testing-ssh.ts';

const odd = { SPACES: ' a  b ', QUOTES: `'"\`\\`, DOLLAR: '$HOME $(id)', TWO: 'one\ntwo', NAME: 'äöü 日本' };
const needs = (...programs: string[]): false | string => {
  const missing = programs.filter((program) => !existsSync(program));
  return missing.length > 0 && `there is no ${missing.join(', no ')}`;
};
const at = ({ session }: SshFarm): string => `${session}@${sshHost}`;
const bytes = Buffer.from(Array.from({ length: 300_000 }, (_, n) => (n * 7919) % 256));

test('commands: input, both outputs, status, signal, the session’s environment and nothing of the client’s', async () => {
  await using place = await startSshFarm(odd);
  assert.deepEqual(await place.ssh([at(place), 'cat; echo no >&2; exit 3'], 'in'), { code: 3, stdout: 'in', stderr: 'no\n' });
  const { stdout } = await place.ssh(['-o', 'SetEnv=CI=false LC_ALL=C.UTF-8', at(place), 'env -0']);
  const env = Object.fromEntries(stdout.split('\0').map((line) => [line.slice(0, line.indexOf('=')), line.slice(line.indexOf('=') + 1)]));
  for (const [name, value] of Object.entries({ ...odd, CI: 'true', LC_ALL: 'C.UTF-8' })) assert.equal(env[name], value, name);
  const killed = await place.ssh(['-v', '-o', 'LogLevel=DEBUG1', at(place), 'kill -USR1 $$']);
  assert.match(killed.stderr, /exit-signal/);
});

test('files: scp both ways in both protocols, sftp and rsync', { skip: needs('/usr/bin/rsync', '/usr/bin/sftp') }, async () => {
  await using place = await startSshFarm();
  const here = (name: string): string => join(place.dir, name);
  await mkdir(here('tree/sub'), { recursive: true });
  await writeFile(here('tree/sub/file with spaces'), bytes);
  await writeFile(here('tree/run'), '#!/bin/sh\n', { mode: 0o755 });
  const scp = (...args: string[]): ReturnType<typeof runProgram> =>
    runProgram('scp', [...place.options, '-q', '-P', String(place.port), ...args]);
  for (const protocol of ['-s', '-O']) {
    assert.deepEqual(await scp(protocol, '-r', here('tree'), `${at(place)}:to${protocol}`), { code: 0, stdout: '', stderr: '' });
    assert.equal((await scp(protocol, '-r', `${at(place)}:to${protocol}`, here(`back${protocol}`))).code, 0);
    assert.ok((await readFile(here(`back${protocol}/sub/file with spaces`))).equals(bytes));
  }
  const batch = ['put tree/run made', 'chmod 750 made', 'rename made renamed', 'ls -l renamed', 'rm renamed', 'get to-s/run got'].join(
    '\n',
  );
  const options = [...place.options, '-P', String(place.port), '-b', '-', at(place)];
  const listed = await runProgram('sh', ['-c', 'cd "$1"; shift; exec sftp "$@"', 'sh', place.dir, ...options], `${batch}\n`);
  assert.deepEqual([listed.code, /-rwxr-x---/.test(listed.stdout)], [0, true], listed.stdout + listed.stderr);
  const shell = ['ssh', ...place.options, '-p', String(place.port)].join(' ');
  const sync = ['-a', '-e', shell, `${here('tree')}/`, `${at(place)}:synced/`];
  assert.deepEqual(await runProgram('rsync', sync), { code: 0, stdout: '', stderr: '' });
  const again = await runProgram('rsync', ['--stats', ...sync]);
  assert.match(again.stdout, /Number of regular files transferred: 0/);
});

test('ports: -L, -R, -D, -W and nothing but the machine; X11 is refused plainly', { skip: needs('/usr/bin/curl') }, async () => {
  await using place = await startSshFarm();
  const server = createServer((socket) => socket.end('HTTP/1.0 200 OK\r\n\r\nserved')).listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port: served } = server.address() as AddressInfo;
  const [local, socks] = [await freePort(), await freePort()];
  const forwards = [
    '-L',
    `${local}:localhost:${served}`,
    '-D',
    String(socks),
    '-R',
    `0:127.0.0.1:${served}`,
    '-o',
    'ExitOnForwardFailure=yes',
  ];
  const client = place.start([...forwards, at(place), 'echo up; cat']);
  await once(client.stdout, 'data');
  const curl = (...args: string[]): ReturnType<typeof runProgram> => runProgram('curl', ['-s', '-m', '10', ...args]);
  assert.equal((await curl(`http://127.0.0.1:${local}/`)).stdout, 'served');
  assert.equal((await curl('--socks5-hostname', `127.0.0.1:${socks}`, `http://localhost:${served}/`)).stdout, 'served');
  assert.equal((await curl('--socks5-hostname', `127.0.0.1:${socks}`, `http://example.com:${served}/`)).stdout, '');
  client.stdin.end();
  await once(client, 'close');
  const back = place.start(['-v', '-N', '-R', `0:127.0.0.1:${served}`, '-o', 'LogLevel=INFO', at(place)]);
  let said = '';
  back.stderr.setEncoding('utf8').on('data', (piece: string) => (said += piece));
  const port = await place.farm.waitFor('a port of the machine', () => /Allocated port (\d+)/.exec(said)?.[1]);
  const answer = await text(connect(Number(port), '127.0.0.1'));
  assert.match(answer, /served/);
  back.kill();
  assert.match((await place.ssh(['-W', `localhost:${served}`, at(place)])).stdout, /served/);
  assert.notEqual((await place.ssh(['-W', `example.com:${served}`, at(place)])).code, 0);
  server.close();
});

test('an agent is lent to what is started', { skip: needs('/usr/bin/ssh-agent') }, async () => {
  await using place = await startSshFarm();
  const command = [
    'ssh-agent',
    'sh',
    '-c',
    'ssh-add -q "$0" && exec ssh "$@"',
    place.key,
    ...place.options,
    '-A',
    '-p',
    String(place.port),
    at(place),
  ];
  const { stdout, stderr } = await runProgram('env', [...command, 'ssh-add -l']);
  assert.match(stdout, /^256 SHA256:\S+ .*ED25519/, stderr);
});

test('an editor’s handshake: a shell without a terminal that reads its script, and a port beside it', async () => {
  await using place = await startSshFarm();
  const script = 'uname -s\necho "$0 $-"\nexit 5\n';
  const { code, stdout } = await place.ssh(['-T', '-D', String(await freePort()), at(place), 'sh'], script);
  assert.deepEqual([code, stdout.split('\n')[0]], [5, 'Linux']);
  assert.equal((await place.ssh(['-T', at(place)], 'echo from a login shell; exit 6\n')).code, 6);
});

test('python3-paramiko, dropbear and plink come in, too', { skip: needs('/usr/bin/plink', '/usr/bin/dbclient') }, async () => {
  await using place = await startSshFarm();
  const [port, user] = [String(place.port), place.session];
  const rsa = join(place.dir, 'rsa');
  await runProgram('ssh-keygen', ['-q', '-t', 'rsa', '-b', '3072', '-m', 'PEM', '-N', '', '-f', rsa]);
  await place.farm.api('POST', '/api/v1/me/ssh-keys', { key: await readFile(`${rsa}.pub`, 'utf8') });
  const script = [
    'import paramiko, sys',
    'c = paramiko.SSHClient(); c.set_missing_host_key_policy(paramiko.AutoAddPolicy())',
    `c.connect("${sshHost}", ${port}, "${user}", key_filename="${rsa}", allow_agent=False, look_for_keys=False)`,
    'i, o, e = c.exec_command("cat; echo no >&2; exit 4"); i.write("in"); i.channel.shutdown_write()',
    'print(o.read().decode(), e.read().decode().strip(), o.channel.recv_exit_status())',
    's = c.open_sftp(); f = s.file("made", "w"); f.write("by sftp"); f.close(); print(s.stat("made").st_size); c.close()',
  ];
  const paramiko = await runProgram('/usr/bin/python3', ['-c', script.join('\n')]);
  assert.equal(paramiko.stdout, 'in no 4\n7\n', paramiko.stderr);
  const dropbearKey = join(place.dir, 'dropbear');
  await runProgram('dropbearconvert', ['openssh', 'dropbear', place.key, dropbearKey]);
  const dbclient = await runProgram('dbclient', ['-y', '-y', '-i', dropbearKey, '-p', port, at(place), 'echo db; exit 5'], '', {
    HOME: place.dir,
  });
  assert.deepEqual([dbclient.code, dbclient.stdout], [5, 'db\n'], dbclient.stderr);
  const ppk = join(place.dir, 'key.ppk');
  await runProgram('puttygen', [rsa, '-o', ppk]);
  const hostKey = (await place.farm.api<{ hostKeys: { fingerprint: string }[] }>('GET', '/api/v1/ssh')).hostKeys[0]?.fingerprint ?? '';
  const plink = await runProgram('plink', ['-batch', '-hostkey', hostKey, '-i', ppk, '-P', port, at(place), 'echo put; exit 6'], '', {
    HOME: place.dir,
  });
  assert.deepEqual([plink.code, plink.stdout], [6, 'put\n'], plink.stderr);
});

test('a coordinator that is killed in the middle of a command loses nothing of it', async () => {
  await using place = await startSshFarm(odd);
  const command = 'echo "begun in $PWD with $NAME"; read line; echo "got $line"; echo no >&2; kill -TERM $$';
  const client = place.start([at(place), command]);
  await once(client.stdout, 'data');
  const lost = once(client, 'close');
  await place.farm.kill9();
  await lost;
  await place.farm.restart();
  const run = await lastRun(place);
  const found = await place.ssh(['-v', '-o', 'LogLevel=DEBUG1', `${place.session}+${run}@${sshHost}`], 'again\n');
  assert.match(found.stdout, /^begun in \S+ with äöü 日本\ngot again\n$/);
  assert.match(found.stderr, /^no$/m);
  assert.match(found.stderr, /exit-signal/);
});

test('a coordinator that is killed in the middle of a key loses no shell', { skip: needs('/usr/bin/script') }, async () => {
  await using place = await startSshFarm(odd);
  using first = openTerminal(place, place.session, { cols: 91, rows: 17 });
  assert.match(await first.until('work directory'), /^# Welcome, local\. This is local-box-0 /);
  first.type('cd /; MARK=one; echo "size $(stty size) $TERM <$NAME>"\r');
  await first.until('size 17 91 xterm-256color <äöü 日本>');
  first.type('echo "still $MA');
  await first.until('still $MA');
  await place.farm.kill9();
  assert.equal(await first.ended, 255);
  await place.farm.restart();
  using second = openTerminal(place, place.session, { cols: 100, rows: 30 });
  await second.until('You are back in the shell that was lost');
  second.type('RK at $PWD $(stty size) <$NAME>"\r');
  await second.until('still one at / 30 100 <äöü 日本>');
  second.type('exit 9\r');
  assert.equal(await second.ended, 9);
});

/** The name of the run that nobody looks at. */
async function lastRun({ ssh, session }: SshFarm): Promise<string> {
  for (let tries = 0; tries < 100; tries += 1) {
    const { stderr } = await ssh([`${session}+none@${sshHost}`]);
    const name = /There are: (\S+?)[.,]?\r?$/m.exec(stderr)?.[1];
    if (name !== undefined) return name;
    await systemClock.sleep(100);
  }
  throw new Error('nothing runs');
}

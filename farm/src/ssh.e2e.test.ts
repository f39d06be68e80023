/** People on a machine of a real farm, with the clients that they use. gomote-ssh.md 8, 9, acceptance 11 and 13. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { connect, createServer, type AddressInfo, type Socket } from 'node:net';
import { join } from 'node:path';
import { buffer, text } from 'node:stream/consumers';
import { after, before, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { systemClock } from '@croft/runtime/clock';
import { freePort } from '@croft/runtime/testing';
import { openTerminal, runProgram, sshHost, startSshFarm, type Ended, type SshFarm } from './testing-ssh.ts';
import { startSshd, withoutSshd } from './testing-sshd.ts';

const odd = { SPACES: ' a  b ', QUOTES: `'"\`\\`, DOLLAR: '$HOME $(id)', TWO: 'one\ntwo', NAME: 'äöü 日本' };
const needs = (...programs: string[]): false | string => {
  const missing = programs.filter((program) => !existsSync(program));
  return missing.length > 0 && `there is no ${missing.join(', no ')}`;
};

/** One for all, whose last tests kill its coordinator. */
let place: SshFarm;
let inst: string;
before(async () => {
  place = await startSshFarm({ env: odd });
  inst = `${place.session}@${sshHost}`;
});
after(() => place[Symbol.asyncDispose]());

const libssh = '/usr/share/doc/libssh-4';
const asyncssh = '/usr/lib/python3/dist-packages/asyncssh/__init__.py';
const bytes = Buffer.from(Array.from({ length: 300_000 }, (_, n) => (n * 7919) % 256));

test('commands: input, both outputs, status, signal, the session’s environment and nothing of the client’s', async () => {
  assert.deepEqual(await place.ssh([inst, 'cat; echo no >&2; exit 3'], 'in'), { code: 3, stdout: 'in', stderr: 'no\n' });
  const { stdout } = await place.ssh(['-o', 'SetEnv=CI=false LC_ALL=C.UTF-8', inst, 'env -0']);
  const env = Object.fromEntries(stdout.split('\0').map((line) => [line.slice(0, line.indexOf('=')), line.slice(line.indexOf('=') + 1)]));
  for (const [name, value] of Object.entries({ ...odd, CI: 'true', LC_ALL: 'C.UTF-8' })) assert.equal(env[name], value, name);
  const killed = await place.ssh(['-v', '-o', 'LogLevel=DEBUG1', inst, 'kill -USR1 $$']);
  assert.match(killed.stderr, /exit-signal/);
});

test('files: scp both ways in both protocols, sftp and rsync', { skip: needs('/usr/bin/rsync', '/usr/bin/sftp') }, async () => {
  const here = (name: string): string => join(place.dir, name);
  await mkdir(here('tree/sub'), { recursive: true });
  await writeFile(here('tree/sub/file with spaces'), bytes);
  await writeFile(here('tree/run'), '#!/bin/sh\n', { mode: 0o755 });
  const scp = (...args: string[]): ReturnType<typeof runProgram> =>
    runProgram('scp', [...place.options, '-q', '-P', String(place.port), ...args]);
  for (const protocol of ['-s', '-O']) {
    assert.deepEqual(await scp(protocol, '-r', here('tree'), `${inst}:to${protocol}`), { code: 0, stdout: '', stderr: '' });
    assert.equal((await scp(protocol, '-r', `${inst}:to${protocol}`, here(`back${protocol}`))).code, 0);
    assert.ok((await readFile(here(`back${protocol}/sub/file with spaces`))).equals(bytes));
  }
  const batch = ['put tree/run made', 'chmod 750 made', 'rename made renamed', 'ls -l renamed', 'rm renamed', 'get to-s/run got'].join(
    '\n',
  );
  const options = [...place.options, '-P', String(place.port), '-b', '-', inst];
  const listed = await runProgram('sh', ['-c', 'cd "$1"; shift; exec sftp "$@"', 'sh', place.dir, ...options], `${batch}\n`);
  assert.deepEqual([listed.code, /-rwxr-x---/.test(listed.stdout)], [0, true], listed.stdout + listed.stderr);
  const shell = ['ssh', ...place.options, '-p', String(place.port)].join(' ');
  const sync = ['-a', '-e', shell, `${here('tree')}/`, `${inst}:synced/`];
  assert.deepEqual(await runProgram('rsync', sync), { code: 0, stdout: '', stderr: '' });
  const again = await runProgram('rsync', ['--stats', ...sync]);
  assert.match(again.stdout, /Number of regular files transferred: 0/);
});

test('ports: -L, -R, -D, -W and nothing but the machine; X11 is refused plainly', { skip: needs('/usr/bin/curl') }, async () => {
  await using server = await serve((socket) => socket.end('HTTP/1.0 200 OK\r\n\r\nserved'));
  const { port: served } = server;
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
  const client = place.start([...forwards, inst, 'echo up; cat']);
  await once(client.stdout, 'data');
  const curl = (...args: string[]): ReturnType<typeof runProgram> => runProgram('curl', ['-s', '-m', '10', ...args]);
  assert.equal((await curl(`http://127.0.0.1:${local}/`)).stdout, 'served');
  assert.equal((await curl('--socks5-hostname', `127.0.0.1:${socks}`, `http://localhost:${served}/`)).stdout, 'served');
  assert.equal((await curl('--socks5-hostname', `127.0.0.1:${socks}`, `http://example.com:${served}/`)).stdout, '');
  client.stdin.end();
  await once(client, 'close');
  const back = place.start(['-v', '-N', '-R', `0:127.0.0.1:${served}`, '-o', 'LogLevel=INFO', inst]);
  let said = '';
  back.stderr.setEncoding('utf8').on('data', (piece: string) => (said += piece));
  const port = await place.farm.waitFor('a port of the machine', () => /Allocated port (\d+)/.exec(said)?.[1]);
  const answer = await text(connect(Number(port), '127.0.0.1'));
  assert.match(answer, /served/);
  back.kill();
  assert.match((await place.ssh(['-W', `localhost:${served}`, inst])).stdout, /served/);
  assert.notEqual((await place.ssh(['-W', `example.com:${served}`, inst])).code, 0);
});

test('an agent is lent to what is started', { skip: needs('/usr/bin/ssh-agent') }, async () => {
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
    inst,
  ];
  const { stdout, stderr } = await runProgram('env', [...command, 'ssh-add -l']);
  assert.match(stdout, /^256 SHA256:\S+ .*ED25519/, stderr);
});

test('-J: the machine is the way to an SSH server that listens on it, and to nothing else', { skip: withoutSshd }, async () => {
  const port = await freePort();
  await using _ = await startSshd(port, `${place.key}.pub`);
  const settings = [
    'BatchMode yes',
    `IdentityFile ${place.key}`,
    'StrictHostKeyChecking no',
    'UserKnownHostsFile /dev/null',
    'LogLevel ERROR',
  ];
  const config = join(place.dir, 'config'); // what options say does not hold for the jump
  await writeFile(config, settings.join('\n'));
  const jump = (host: string): Promise<Ended> =>
    runProgram('ssh', [
      '-F',
      config,
      '-J',
      `${inst}:${place.port}`,
      '-p',
      String(port),
      `root@${host}`,
      'echo "behind $SSH_CONNECTION"; exit 4',
    ]);
  const behind = await jump('localhost');
  assert.deepEqual([behind.code, behind.stdout.split(' ')[0]], [4, 'behind'], behind.stderr);
  const elsewhere = await jump('192.0.2.1');
  assert.equal(elsewhere.code, 255);
  assert.match(elsewhere.stderr, /forwarding failed/);
});

test('ControlMaster: commands, files and forwarding over one connection that persists, many at once', async () => {
  const own = ['-o', 'ControlMaster=auto', '-o', `ControlPath=${place.dir}/mux`];
  await once(place.start([...own, '-o', 'ControlPersist=60', inst, 'true']), 'exit'); // its background holds the outputs
  const control = (...args: string[]): Promise<Ended> => place.ssh([...own, '-O', ...args, inst]);
  assert.match((await control('check')).stderr, /Master running/);
  await using server = await serve((socket) => socket.pipe(socket));
  const local = await freePort();
  assert.equal((await control('forward', '-L', `${local}:localhost:${server.port}`)).code, 0);
  const commands = Array.from({ length: 20 }, async (_, n) => {
    const { code, stdout } = await place.ssh([...own, inst, `cat; exit ${n}`], `${n}`);
    assert.deepEqual([code, stdout], [n, `${n}`]);
  });
  const files = [1, 2, 3].map(async (n) => {
    const [to, back] = [join(place.dir, `mux-${n}`), join(place.dir, `back-${n}`)];
    await writeFile(to, bytes);
    const sftp = await runProgram('sftp', ['-q', ...place.options, ...own, '-b', '-', inst], `put ${to} mux-${n}\nget mux-${n} ${back}\n`);
    assert.equal(sftp.code, 0, sftp.stderr);
    assert.ok((await readFile(back)).equals(bytes));
  });
  const echoes = Array.from({ length: 20 }, async () => {
    const line = connect(local, sshHost);
    line.end(bytes);
    assert.ok((await buffer(line)).equals(bytes));
  });
  await Promise.all([...commands, ...files, ...echoes]);
  assert.equal((await control('cancel', '-L', `${local}:localhost:${server.port}`)).code, 0);
  await assert.rejects(buffer(connect(local, sshHost)));
  assert.equal((await control('exit')).code, 0);
});

/** Of an editor: it says where it listens, and gives back what it is told. */
const editorServer = `
const server = require('node:http').createServer((request, response) => request.pipe(response));
server.listen(0, '127.0.0.1', () => console.log('Extension host agent listening on ' + server.address().port));
`;

test(
  'VS Code’s handshake: sh with a script on its input, which starts a server; files, SOCKS and commands beside it',
  { skip: needs('/usr/bin/curl') },
  async () => {
    const socks = await freePort();
    const editor = place.start(['-T', '-D', String(socks), '-o', 'ConnectTimeout=15', inst, 'sh']);
    let said = '';
    editor.stdout.setEncoding('utf8').on('data', (piece: string) => (said += piece));
    const answer = (pattern: RegExp): Promise<RegExpExecArray> =>
      place.farm.waitFor(`${pattern} of the script`, () => pattern.exec(said) ?? false);
    editor.stdin.write('DIR="$PWD/.editor-server"; mkdir -p "$DIR"; echo "platform==$(uname -s)== dir==$DIR=="\n');
    const [, platform, dir = ''] = await answer(/platform==(\w+)== dir==(.+)==/);
    assert.equal(platform, 'Linux');
    const here = join(place.dir, 'server.js');
    await writeFile(here, editorServer);
    const copied = await runProgram('scp', [...place.options, '-q', '-P', String(place.port), here, `${inst}:${dir}/server.js`]);
    assert.deepEqual(copied, { code: 0, stdout: '', stderr: '' });
    const start = `'${process.execPath}' "$DIR/server.js" > "$DIR/log" 2>&1 &`;
    const port = `PORT=$(sed -n 's/.*listening on \\([0-9]*\\)$/\\1/p' "$DIR/log")`;
    editor.stdin.write(`${start}\nwhile :; do ${port}; [ -n "$PORT" ] && break; sleep 0.1; done; echo "listeningOn==$PORT=="\n`);
    const [, listening] = await answer(/listeningOn==(\d+)==/);
    const dial = Array.from({ length: 8 }, async (_, n) => {
      const url = `http://127.0.0.1:${listening}/`; // for management, extensions, terminals
      const { stdout } = await runProgram('curl', ['-s', '-m', '20', '--socks5-hostname', `127.0.0.1:${socks}`, '-d', `hello ${n}`, url]);
      assert.equal(stdout, `hello ${n}`);
    });
    const beside = [1, 2, 3].map(async (n) => assert.equal((await place.ssh(['-T', inst, 'sh'], `exit ${n}\n`)).code, n));
    await Promise.all([...dial, ...beside]);
    editor.stdin.end('kill $!; exit 5\n');
    assert.deepEqual(await once(editor, 'close'), [5, null]);
    assert.equal((await place.ssh(['-T', inst], 'echo from a login shell; exit 6\n')).code, 6);
  },
);

test('python3-paramiko, dropbear and plink come in, too', { skip: needs('/usr/bin/plink', '/usr/bin/dbclient') }, async () => {
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
  const dbclient = await runProgram('dbclient', ['-y', '-y', '-i', dropbearKey, '-p', port, inst, 'echo db; exit 5'], '', {
    HOME: place.dir,
  });
  assert.deepEqual([dbclient.code, dbclient.stdout], [5, 'db\n'], dbclient.stderr);
  const ppk = join(place.dir, 'key.ppk');
  await runProgram('puttygen', [rsa, '-o', ppk]);
  const hostKey = (await place.farm.api<{ hostKeys: { fingerprint: string }[] }>('GET', '/api/v1/ssh')).hostKeys[0]?.fingerprint ?? '';
  const plink = await runProgram('plink', ['-batch', '-hostkey', hostKey, '-i', ppk, '-P', port, inst, 'echo put; exit 6'], '', {
    HOME: place.dir,
  });
  assert.deepEqual([plink.code, plink.stdout], [6, 'put\n'], plink.stderr);
});

test('libssh comes in: channels at once, SFTP, forwarding both ways', { skip: needs(libssh) }, async () => {
  await using server = await serve((socket) => socket.pipe(socket));
  const script = fileURLToPath(new URL('./testing-libssh.py', import.meta.url));
  const { stdout, stderr } = await runProgram('/usr/bin/python3', [
    script,
    sshHost,
    String(place.port),
    place.session,
    place.key,
    String(server.port),
  ]);
  assert.equal(stderr, '');
  const commands = [4, 3, 2, 1, 0].map((n) => [`in ${n}\n`, 'no\n', n]);
  assert.deepEqual(JSON.parse(stdout), { commands, files: 'by libssh', forwarded: 'x', listened: 'come in' });
});

test('curl’s libssh2 and asyncssh come in, too', { skip: needs('/usr/bin/curl', asyncssh) }, async () => {
  const key = ['--key', place.key, '--pubkey', `${place.key}.pub`, '-k'];
  const url = `sftp://${inst}:${place.port}${place.dir}/by-curl`;
  assert.deepEqual(await runProgram('curl', ['-sS', ...key, '-T', '-', url], 'by curl'), { code: 0, stdout: '', stderr: '' });
  assert.equal((await runProgram('curl', ['-sS', ...key, url])).stdout, 'by curl');
  const script = [
    'import asyncio, asyncssh, sys',
    'async def main():',
    '  async with asyncssh.connect(sys.argv[1], int(sys.argv[2]), username=sys.argv[3], client_keys=[sys.argv[4]], known_hosts=None, config=None) as c:',
    '    ran = await asyncio.gather(*[c.run(f"cat; exit {n}", input=f"{n}") for n in range(50)])',
    '    print(all((r.stdout, r.exit_status) == (str(n), n) for n, r in enumerate(ran)))',
    'asyncio.run(main())',
  ];
  const ran = await runProgram('/usr/bin/python3', ['-c', script.join('\n'), sshHost, String(place.port), place.session, place.key]);
  assert.equal(ran.stdout, 'True\n', ran.stderr);
});

test('a coordinator that is killed in the middle of a command loses nothing of it', async () => {
  const command = 'echo "begun in $PWD with $NAME"; read line; echo "got $line"; echo no >&2; kill -TERM $$';
  const client = place.start([inst, command]);
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

/** Listens on the machine. */
async function serve(onConnection: (socket: Socket) => void): Promise<AsyncDisposable & { port: number }> {
  const sockets = new Set<Socket>();
  const server = createServer({ allowHalfOpen: true }, (socket) => {
    sockets.add(socket.on('error', () => undefined));
    onConnection(socket);
  }).listen(0, '127.0.0.1');
  await once(server, 'listening');
  return {
    port: (server.address() as AddressInfo).port,
    async [Symbol.asyncDispose]() {
      server.close();
      for (const socket of sockets) socket.destroy();
    },
  };
}

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

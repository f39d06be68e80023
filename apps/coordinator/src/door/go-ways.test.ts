/** The second SSH against a real sshd, as Go's buildlets lead to it. gomote-ssh.md 8.5. */
import assert from 'node:assert/strict';
import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { mkdir, mkdtempDisposable, writeFile } from 'node:fs/promises';
import { connect, createServer, type AddressInfo } from 'node:net';
import { tmpdir, userInfo } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { PassThrough, type Duplex } from 'node:stream';
import { SECOND, systemClock } from '@croft/runtime/clock';
import { freePort } from '@croft/runtime/testing';
import { pourAll } from '@croft/streams/pour';
import type { ChannelEnd, DoorChannel } from './door-channel.ts';
import { openGoWays } from './go-ways.ts';
import { newKey } from './new-key.ts';
import type { Visit } from './visit.ts';
import type { Ways } from './ways.ts';
import { fakeSession } from '../sessions/testing.ts';

const sshd = '/usr/sbin/sshd';
const skip = !existsSync(sshd) ? `${sshd} is not installed` : userInfo().uid !== 0 ? 'sshd can only be started by root here' : false;
const waits = { signal: systemClock.deadline(60 * SECOND) };

interface Stage extends AsyncDisposable {
  readonly visit: Visit;
  open(user?: string): Promise<Ways>;
}

async function openStage(): Promise<Stage> {
  await using stack = new AsyncDisposableStack();
  const { path: dir } = stack.use(await mkdtempDisposable(join(tmpdir(), 'croft-go-sshd-')));
  await mkdir('/run/sshd', { recursive: true });
  await mkdir(join(dir, 'work', 'app'), { recursive: true });
  execFileSync('ssh-keygen', ['-q', '-t', 'ed25519', '-N', '', '-f', join(dir, 'host')]);
  const key = newKey();
  await writeFile(join(dir, 'authorized'), `${key.public}\n`);
  const port = await freePort();
  const settings = [
    `Port ${port}`,
    'ListenAddress 127.0.0.1',
    `HostKey ${dir}/host`,
    `AuthorizedKeysFile ${dir}/authorized`,
    'StrictModes no',
  ];
  const more = ['UsePAM no', 'PidFile none', 'PermitRootLogin yes', 'Subsystem sftp internal-sftp', 'AcceptEnv none', `SetEnv HOME=${dir}`]; // nobody's own settings
  await writeFile(join(dir, 'config'), [...settings, ...more, ''].join('\n'));
  const child = spawn(sshd, ['-D', '-e', '-f', join(dir, 'config')], { stdio: ['ignore', 'ignore', 'pipe'] });
  const ended = once(child, 'close');
  stack.defer(async () => void (child.kill('SIGTERM'), await ended));
  await once(child.stderr, 'data');
  const ground = {
    workDir: join(dir, 'work'),
    dir: 'app',
    env: { CI: 'true', ODD: `it's "$x"\n` },
    path: ['/opt/bin'],
    speaks: 'go' as const,
  };
  const visit = { session: fakeSession(), ground, person: { name: 'ann' } } as unknown as Visit;
  const tunnel = async (): Promise<Duplex> => {
    const socket = connect(port, '127.0.0.1');
    await once(socket, 'connect');
    return socket;
  };
  const owned = stack.move();
  return {
    visit,
    open: async (user = 'root') => openGoWays(visit, { tunnel, user, key, clock: systemClock }, waits),
    [Symbol.asyncDispose]: () => owned.disposeAsync(),
  };
}

interface FakeChannel extends DoorChannel {
  readonly input: PassThrough;
  readonly said: { out: string; error: string };
  readonly ended: Promise<ChannelEnd>;
}

function fakeChannel(): FakeChannel {
  const input = new PassThrough();
  const said = { out: '', error: '' };
  const { promise: ended, resolve } = Promise.withResolvers<ChannelEnd>();
  return {
    input,
    said,
    ended,
    closed: new AbortController().signal,
    pour: (take) => pourAll(input, take),
    write: async (piece) => void (said.out += Buffer.from(piece).toString()),
    writeError: async (piece) => void (said.error += Buffer.from(piece).toString()),
    onResize: () => undefined,
    onSignal: () => undefined,
    finish: () => undefined,
    end: resolve,
  };
}

test('a command has variables, directory, input, both outputs and its status', { skip }, async () => {
  await using stage = await openStage();
  await using ways = await stage.open();
  const channel = fakeChannel();
  channel.input.end('given');
  const commandLine = 'cat; printf "|%s|%s|%s" "$CI" "$ODD" "$PWD"; case $PATH in *:/opt/bin) echo yes;; esac; echo oops >&2; exit 7';
  await ways.command(channel, { commandLine, env: {} });
  assert.equal(channel.said.out, `given|true|it's "$x"\n|${stage.visit.ground.workDir}/appyes\n`);
  assert.equal(channel.said.error, 'oops\n');
  assert.deepEqual(await channel.ended, { code: 7 });
});

test('a shell has a terminal and says where it is; a signal is told', { skip }, async () => {
  await using stage = await openStage();
  await using ways = await stage.open();
  const channel = fakeChannel();
  channel.input.write('tty >/dev/null && stty size && kill -KILL $$\n');
  await ways.command(channel, { terminal: { cols: 91, rows: 17, term: 'xterm' }, env: {} });
  assert.match(channel.said.out, /^# Welcome, ann/);
  assert.match(channel.said.out, /17 91/);
  assert.deepEqual(await channel.ended, { signal: 'SIGKILL' });
});

test('a command that closes its output and goes on is waited for', { skip }, async () => {
  await using stage = await openStage();
  await using ways = await stage.open();
  const channel = fakeChannel();
  channel.input.end();
  await ways.command(channel, { commandLine: 'echo first; exec >&- 2>&-; sleep 0.3; exit 9', env: {} });
  assert.equal(channel.said.out, 'first\n');
  assert.deepEqual(await channel.ended, { code: 9 });
});

test('ports of the machine are reached, and lead back', { skip }, async () => {
  await using stage = await openStage();
  await using ways = await stage.open();
  const server = createServer((socket) => socket.end('from the machine')).listen(0, '127.0.0.1');
  await once(server, 'listening');
  const stream = await ways.connect((server.address() as AddressInfo).port, waits);
  assert.equal(Buffer.concat(await stream.toArray()).toString(), 'from the machine');
  server.close();
  await using listening = await ways.listen({ kind: 'tcp', port: 0 }, waits);
  assert.ok('port' in listening.place);
  const client = connect(listening.place.port, '127.0.0.1').end('to the client');
  for await (const arrived of listening.connections) {
    assert.equal(Buffer.concat(await arrived.toArray()).toString(), 'to the client');
    break;
  }
  client.destroy();
});

test('which hop failed is said, and what is missing', { skip }, async () => {
  await using stage = await openStage();
  const dead = {
    user: 'root',
    key: newKey(),
    clock: { ...systemClock, sleep: async () => undefined },
  };
  const refused = { ...dead, tunnel: async (): Promise<Duplex> => Promise.reject(new Error('502 dial tcp: connection refused')) };
  await assert.rejects(openGoWays(stage.visit, refused, waits), /reach the SSH server of local-1: 502 dial tcp/);
  await assert.rejects(
    openGoWays(stage.visit, { ...refused, user: undefined }, waits),
    /nobody said as whom to enter machines of the host type local/,
  );
});

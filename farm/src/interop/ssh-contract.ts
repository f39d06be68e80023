/** The tunnel to the machine's SSH server, whoever made the client, the buildlet and the line between them (buildlet.md 1.12 and 3.8). */
import assert from 'node:assert/strict';
import { execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { mkdir, mkdtempDisposable, writeFile } from 'node:fs/promises';
import { createServer, type AddressInfo, type Socket } from 'node:net';
import { tmpdir, userInfo } from 'node:os';
import { join } from 'node:path';
import type { Duplex } from 'node:stream';
import { describe, test, type TestContext } from 'node:test';
import { promisify } from 'node:util';
import { SECOND, systemClock } from '@croft/runtime/clock';
import { systemCode } from '@croft/runtime/errors';
import { freePort } from '@croft/runtime/testing';
import type { Maker } from './buildlets.ts';
import type { Ground } from './calls-contract.ts';
import type { GoPrograms } from './go-programs.ts';

export interface SshGround {
  readonly client: Maker;
  readonly buildlet: Maker;
  readonly programs: GoPrograms | { readonly missing: string };
  /** @param sshPort of the machine's SSH server */
  open(programs: GoPrograms, sshPort: number): Promise<Ground>;
}

const run = promisify(execFile);
/** Go's buildlet believes that it shares the network of a machine whose own SSH server has port 22. */
const goPort = process.arch === 'x64' ? 2200 : 22;
const sshd = '/usr/sbin/sshd';
const banner = 'SSH-2.0-test\r\n';
const waitMs = 20 * SECOND;

export function sshContract(pairing: string, { client, buildlet, programs, open }: SshGround): void {
  describe(`${pairing}: ssh`, () => {
    const check = (name: string, body: (programs: GoPrograms, port: number, t: TestContext) => Promise<void>): void => {
      void test(name, async (t) => {
        if ('missing' in programs) return t.skip(programs.missing);
        await body(programs, await sshPortFor(buildlet), t);
      });
    };
    /** With a server in sshd's place. */
    const checkTunnel = (
      name: string,
      onConnection: (socket: Socket) => void,
      body: (ground: Ground, t: TestContext) => Promise<void>,
    ): void =>
      check(name, async (given, port, t) => {
        await using server = await serveSsh(port, onConnection);
        if (!server) return t.skip(portTaken(port));
        await using ground = await open(given, port);
        await body(ground, t);
      });

    const echo = (socket: Socket): void => {
      socket.write(banner);
      socket.pipe(socket);
    };
    checkTunnel('what the server says first arrives, and then bytes both ways', echo, async (ground, t) => {
      if (client === 'Go' && isOf2022(programs)) return t.skip('Go’s client of 2022 drops what comes in one packet with the 101');
      const tunnel = await ground.client.connectSsh('gopher', '');
      const sent = Buffer.alloc(512 * 1024, 'to and fro ');
      tunnel.write(sent);
      const back = await firstBytes(tunnel, banner.length + sent.length);
      assert.ok(back.equals(Buffer.concat([Buffer.from(banner), sent])), back.toString('latin1', 0, 50));
      tunnel.destroy();
    });

    checkTunnel(
      'the end of the server is the end of the tunnel',
      (socket) => void socket.end(banner),
      async ({ client: peer }) => {
        const tunnel = await peer.connectSsh('gopher', '');
        tunnel.resume();
        await once(tunnel, 'close', { signal: systemClock.deadline(waitMs) });
      },
    );

    check('without an SSH server the reason is told', async (given, port) => {
      await using ground = await open(given, port);
      await assert.rejects(ground.client.connectSsh('gopher', ''), /502.*(dial|connect)/);
    });

    check('a real sshd is reached, with ssh', async (given, port, t) => {
      if (!existsSync(sshd)) return t.skip(`${sshd} is not installed`);
      if (userInfo().uid !== 0) return t.skip('sshd can only be started by root here');
      await using server = await startSshd(port);
      if (!server) return t.skip(portTaken(port));
      await using ground = await open(given, port);
      await using door = await openDoor(() => ground.client.connectSsh(userInfo().username, ''));
      const asked = [...server.sshOptions, '-p', String(door.port), 'root@127.0.0.1', 'echo through the tunnel; exit 7'];
      const ended = await run('ssh', asked, { signal: systemClock.deadline(waitMs) }).catch(
        (error: unknown) => error as { code: number; stdout: string },
      );
      assert.deepEqual([ended.stdout, 'code' in ended && ended.code], ['through the tunnel\n', 7]);
    });
  });
}

export async function sshPortFor(maker: Maker): Promise<number> {
  return maker === 'Go' ? goPort : freePort();
}

export function portTaken(port: number): string {
  return `port ${port}, at which Go’s buildlet looks for sshd, is taken`;
}

function isOf2022(programs: SshGround['programs']): boolean {
  return 'version' in programs && programs.version.includes('2022');
}

/** Undefined when somebody else has the port. */
export async function serveSsh(
  port: number,
  onConnection: (socket: Socket) => void,
): Promise<({ port: number } & AsyncDisposable) | undefined> {
  const sockets = new Set<Socket>();
  const server = createServer((socket) => {
    sockets.add(socket.on('error', () => undefined));
    onConnection(socket);
  }).listen(port, '127.0.0.1');
  try {
    await once(server, 'listening');
  } catch (error) {
    if (systemCode(error) === 'EADDRINUSE') return undefined;
    throw error;
  }
  return {
    port: (server.address() as AddressInfo).port,
    async [Symbol.asyncDispose]() {
      const closed = once(server, 'close');
      server.close();
      for (const socket of sockets) socket.destroy();
      await closed;
    },
  };
}

/** @throws Error when it ends before */
async function firstBytes(tunnel: Duplex, count: number): Promise<Buffer> {
  let seen = Buffer.alloc(0);
  for await (const piece of tunnel.iterator({ destroyOnReturn: false }) as AsyncIterable<Buffer>) {
    seen = Buffer.concat([seen, piece]);
    if (seen.length >= count) return seen;
  }
  throw new Error(`the tunnel ended after ${seen.length} of ${count} bytes`);
}

/** A port of this machine whose connections are tunnels. */
async function openDoor(dial: () => Promise<Duplex>): Promise<{ port: number } & AsyncDisposable> {
  const door = await serveSsh(0, (socket) => {
    dial().then(
      (tunnel) => {
        tunnel.on('error', () => socket.destroy()).on('close', () => socket.destroy());
        socket.on('close', () => tunnel.destroy());
        socket.pipe(tunnel).pipe(socket);
      },
      () => socket.destroy(),
    );
  });
  return door ?? assert.fail('no port is free');
}

/** With keys of its own and nobody's settings; it is asked for no account but root's, and knows one key. */
async function startSshd(port: number): Promise<({ sshOptions: string[] } & AsyncDisposable) | undefined> {
  await using stack = new AsyncDisposableStack();
  const { path: dir } = stack.use(await mkdtempDisposable(join(tmpdir(), 'croft-sshd-')));
  await mkdir('/run/sshd', { recursive: true });
  for (const name of ['host', 'user']) await run('ssh-keygen', ['-q', '-t', 'ed25519', '-N', '', '-f', join(dir, name)]);
  const settings = [
    `Port ${port}`,
    'ListenAddress 127.0.0.1',
    `HostKey ${dir}/host`,
    `AuthorizedKeysFile ${dir}/user.pub`,
    'StrictModes no',
    'UsePAM no',
    'PidFile none',
    'PermitRootLogin yes',
  ];
  await writeFile(join(dir, 'config'), `${settings.join('\n')}\n`);
  const child = spawn(sshd, ['-D', '-e', '-f', join(dir, 'config')], { stdio: ['ignore', 'ignore', 'pipe'] });
  const ended = once(child, 'close');
  stack.defer(async () => {
    child.kill('SIGTERM');
    await ended;
  });
  const { promise: said, resolve } = Promise.withResolvers<string>();
  let log = '';
  child.stderr.setEncoding('utf8').on('data', (piece: string) => {
    log += piece;
    if (/listening on|already in use|fatal|error/i.test(log)) resolve(log);
  });
  const first = await Promise.race([said, ended.then(() => log)]);
  if (/already in use/.test(first)) return undefined;
  assert.match(first, /Server listening on/);
  const owned = stack.move();
  const quiet = ['-F', 'none', '-i', join(dir, 'user'), '-o', 'BatchMode=yes', '-o', 'IdentitiesOnly=yes', '-o', 'LogLevel=ERROR'];
  const sshOptions = [...quiet, '-o', 'StrictHostKeyChecking=no', '-o', `UserKnownHostsFile=${dir}/known`];
  return { sshOptions, [Symbol.asyncDispose]: () => owned.disposeAsync() };
}

/** `/connect-ssh` with a real SSH server and client, and with peers that speak bytes. buildlet.md 1.12 and Part 6, 9. */
import assert from 'node:assert/strict';
import { execFile, execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { mkdtempDisposable, readFile, writeFile } from 'node:fs/promises';
import { connect, createServer, type AddressInfo, type Socket } from 'node:net';
import { tmpdir, userInfo } from 'node:os';
import { join } from 'node:path';
import { buffer, text } from 'node:stream/consumers';
import { after, before, describe, test } from 'node:test';
import { promisify } from 'node:util';
import { systemClock } from '@croft/runtime/clock';
import { silentLog } from '@croft/runtime/log';
import { createTaskGroup } from '@croft/runtime/tasks';
import { listen } from '../http/listener.ts';
import { createRouter } from '../http/router.ts';
import { startMachine } from '../testing.ts';
import { sshRoutes } from './routes.ts';
import { createSshd, isOwnContainer } from './sshd.ts';

const run = promisify(execFile);
const switched = 'HTTP/1.1 101 Switching Protocols\r\nUpgrade: ssh\r\nConnection: Upgrade\r\n\r\n';

interface Door extends AsyncDisposable {
  readonly port: number;
  /** Writes this and reads until the end. */
  say(bytes: string): Promise<string>;
  open(): Socket;
}

/** The route alone over loopback, before a server at `sshPort`; accounts are this user with another home. */
async function openDoor(sshPort: number, home?: string): Promise<Door> {
  const { uid, gid } = userInfo();
  const tasks = createTaskGroup((_, error) => assert.fail(String(error)));
  const sshd = createSshd({ port: sshPort, clock: systemClock, log: silentLog, tasks, program: async () => undefined });
  const routes = sshRoutes({ sshd, clock: systemClock, find: async () => (home === undefined ? undefined : { home, uid, gid }) });
  const nothing = (): void => {};
  const router = createRouter({
    password: 'secret',
    dialled: false,
    find: (path) => (Object.hasOwn(routes, path) ? routes[path] : undefined),
    onRequest: nothing,
    onContact: nothing,
    onWork: () => nothing,
    log: silentLog,
  });
  const server = await listen({ kind: 'tcp', host: '127.0.0.1', port: 0 }, { insecure: false }, router);
  const sockets = new Set<Socket>();
  const { port } = server.address() as AddressInfo;
  const open = (): Socket => {
    const socket = connect({ port, host: '127.0.0.1', noDelay: true });
    sockets.add(socket.on('error', nothing));
    return socket;
  };
  return {
    port,
    open,
    async say(bytes) {
      const socket = open();
      socket.write(bytes);
      return text(socket);
    },
    async [Symbol.asyncDispose]() {
      for (const socket of sockets) socket.destroy();
      server.close();
      server.closeAllConnections();
      await tasks[Symbol.asyncDispose]();
    },
  };
}

const authorization = `Authorization: Basic ${btoa(':secret')}\r\n`;
const head = (more = '', host = 'localhost'): string =>
  `POST /connect-ssh HTTP/1.1\r\nHost: ${host}\r\n${authorization}Content-Length: 0\r\n${more}\r\n`;

async function serverOf(onSocket: (socket: Socket) => void): Promise<AsyncDisposable & { readonly port: number }> {
  const sockets = new Set<Socket>();
  const server = createServer({ allowHalfOpen: true }, (socket) => {
    sockets.add(socket.on('error', () => {}));
    onSocket(socket);
  }).listen(0, 'localhost');
  await once(server, 'listening');
  return {
    port: (server.address() as AddressInfo).port,
    async [Symbol.asyncDispose]() {
      for (const socket of sockets) socket.destroy();
      server.close();
    },
  };
}

test('bytes that come early are kept, both ways, and the answer is Go’s to the byte', async () => {
  await using server = await serverOf((socket) => {
    socket.write('SSH-2.0-banner\r\n');
    socket.on('data', (bytes: Buffer) => socket.end(`echo ${bytes.toString()}`));
  });
  await using door = await openDoor(server.port);
  assert.equal(await door.say(`${head()}SSH-2.0-early\r\n`), `${switched}SSH-2.0-banner\r\necho SSH-2.0-early\r\n`);
});

test('a head that comes byte by byte, with the first bytes of the client behind it, is understood', async () => {
  await using server = await serverOf((socket) => socket.once('data', (bytes: Buffer) => socket.end(bytes)));
  await using door = await openDoor(server.port);
  const socket = door.open();
  for (const byte of `${head('', '')}SSH`) await new Promise((resolve) => socket.write(byte, resolve));
  assert.match(await text(socket), /101 Switching Protocols\r\nUpgrade: ssh\r\nConnection: Upgrade\r\n\r\nS/);
});

test('whichever end closes, both are closed, and what was sent last arrives', async () => {
  const large = Buffer.alloc(4 * 1024 * 1024, 'x');
  const served: Socket[] = [];
  await using server = await serverOf((socket) => served.push(socket));
  await using door = await openDoor(server.port);
  const begin = async (): Promise<[Socket, Socket]> => {
    const client = door.open();
    client.write(head());
    await once(client, 'readable');
    assert.equal(String(client.read()), switched);
    return [client, served.pop() as Socket];
  };
  const [one, its] = await begin();
  its.end(large);
  assert.equal((await buffer(one)).length, large.length);
  const [other, theirs] = await begin();
  const received = buffer(theirs);
  const closed = once(other.resume(), 'close');
  other.end(large);
  assert.equal((await received).length, large.length);
  await closed;
});

test('what is no such request is answered as Go’s does', async () => {
  await using server = await serverOf((socket) => socket.end());
  await using door = await openDoor(server.port);
  const bodyOf = async (bytes: string): Promise<string> => (await door.say(bytes)).replace(/^(HTTP\/1.1 \d+)[^]*\r\n\r\n/, '$1 ');
  const post = 'POST /connect-ssh HTTP/1.1\r\nHost: localhost\r\n';
  assert.equal(
    await bodyOf(`GET /connect-ssh HTTP/1.1\r\nHost: localhost\r\n${authorization}Connection: close\r\n\r\n`),
    'HTTP/1.1 400 requires POST method\n',
  );
  assert.equal(
    await bodyOf(`${post}${authorization}Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n`),
    'HTTP/1.1 400 requires zero Content-Length\n',
  );
  assert.equal(await bodyOf(`${post}${authorization}Content-Length: 3\r\n\r\nabc`), 'HTTP/1.1 400 requires zero Content-Length\n');
  assert.equal(await bodyOf(`${post}Content-Length: 0\r\n\r\n`), 'HTTP/1.1 403 invalid password\n');
  assert.equal(await bodyOf(head('', 'evil.example')), 'HTTP/1.1 403 this buildlet is not known under that host name\n');
  assert.equal(await bodyOf(head('Origin: https://evil.example\r\n')), 'HTTP/1.1 403 requests of web pages are not served\n');
  assert.match(await door.say(`POST /connect-ssh HTTP/1.1\r\nX: ${'y'.repeat(40_000)}\r\n\r\n`), /^HTTP\/1\.1 431 /);
  const second = await door.say(`GET /nope HTTP/1.1\r\nHost: localhost\r\n\r\n${head('Connection: close\r\n')}`);
  assert.match(second, /^HTTP\/1\.1 404 [^]*HTTP\/1\.1 400 [^]*requires a connection of its own\n$/);
});

test('without a server it is 502 in Go’s words', { timeout: 20_000 }, async () => {
  const free = await serverOf(() => {});
  await free[Symbol.asyncDispose]();
  await using door = await openDoor(free.port);
  assert.match(
    await door.say(head()),
    new RegExp(`^HTTP/1\\.1 502 [^]*\\r\\n\\r\\ndial tcp 127\\.0\\.0\\.1:${free.port}: connect: connection refused\\n$`),
  );
});

test('at most 64 are open at once', async () => {
  await using server = await serverOf(() => {});
  await using door = await openDoor(server.port);
  const open = async (): Promise<Socket> => {
    const socket = door.open();
    socket.write(head());
    await once(socket, 'readable');
    return socket;
  };
  const all = await Promise.all(Array.from({ length: 64 }, open));
  assert.match(await door.say(head()), /^HTTP\/1\.1 503 [^]*64 connections to the SSH server are open\n$/);
  all[0]?.destroy();
  for (let answer = ''; !answer.startsWith(switched); answer = String((await open()).read()));
});

test('a whole buildlet speaks to the port that it was told', async () => {
  await using server = await serverOf((socket) => socket.end('SSH-2.0-here\r\n'));
  await using machine = await startMachine({ flags: [`--ssh-port=${server.port}`] });
  const { socketPath = '', password } = machine.process.address;
  const socket = connect(socketPath);
  socket.write(`POST /connect-ssh HTTP/1.1\r\nHost: \r\nAuthorization: Basic ${btoa(`:${password}`)}\r\nContent-Length: 0\r\n\r\n`);
  assert.equal(await text(socket), `${switched}SSH-2.0-here\r\n`);
});

test('a server is started only in the container of Go’s farm', async () => {
  await using dir = await mkdtempDisposable(join(tmpdir(), 'croft-ssh-'));
  assert.equal(await isOwnContainer(), false);
  await writeFile(join(dir.path, 'stage0'), '');
  assert.equal(await isOwnContainer(dir.path, join(dir.path, 'stage0')), true);
  for (const pid of [1, 2, 3, 4]) await writeFile(join(dir.path, String(pid)), '');
  assert.equal(await isOwnContainer(dir.path, join(dir.path, 'stage0')), false);
  assert.equal(await isOwnContainer(join(dir.path), dir.path), false);
});

const sshdPath = ['/usr/sbin/sshd', '/usr/local/sbin/sshd'].find(existsSync);
const lacksSsh = sshdPath === undefined ? 'no SSH server found; install openssh-server' : false;

describe('with OpenSSH', { skip: lacksSsh }, () => {
  let dir: Awaited<ReturnType<typeof mkdtempDisposable>>;
  let port = 0;
  let command: readonly string[] = [];
  before(async () => {
    dir = await mkdtempDisposable(join(tmpdir(), 'croft-ssh-'));
    const at = (name: string): string => join(dir.path, name);
    for (const name of ['host', 'client']) execFileSync('ssh-keygen', ['-q', '-t', 'ed25519', '-N', '', '-C', name, '-f', at(name)]);
    const free = await serverOf(() => {});
    port = free.port;
    await free[Symbol.asyncDispose]();
    const lines = [
      `Port ${port}`,
      'ListenAddress 127.0.0.1',
      `HostKey ${at('host')}`,
      `PidFile ${at('pid')}`,
      'StrictModes no',
      'UsePAM no',
      `AuthorizedKeysFile ${at('.ssh/authorized_keys')}`,
    ];
    await writeFile(at('config'), `${lines.join('\n')}\n`);
    command = [sshdPath ?? '', '-D', '-e', '-f', at('config')];
    if (process.getuid?.() === 0) execFileSync('mkdir', ['-p', '/run/sshd']);
  });
  after(() => dir.remove());

  test('the stock client gets a shell command through, once its key was let in', async () => {
    const tasks = createTaskGroup(() => {});
    await using _stop = tasks;
    const sshd = createSshd({ port, clock: systemClock, log: silentLog, tasks, program: async () => command });
    (await sshd.connect({ signal: systemClock.deadline(20_000) })).destroy(); // it is started, and waited for
    await using door = await openDoor(port, dir.path);
    const key = (await readFile(join(dir.path, 'client.pub'), 'utf8')).trim();
    const proxy = join(dir.path, 'proxy.mjs');
    await writeFile(proxy, proxyProgram(door.port, head(`X-Go-Ssh-User: me\r\nX-Go-Authorized-Key: ${key}\r\n`)));
    const options = [
      '-o',
      'StrictHostKeyChecking=no',
      '-o',
      'UserKnownHostsFile=/dev/null',
      '-o',
      'LogLevel=ERROR',
      '-o',
      'IdentitiesOnly=yes',
      '-F',
      '/dev/null',
    ];
    const through = [
      ...options,
      '-i',
      join(dir.path, 'client'),
      '-o',
      `ProxyCommand=${process.execPath} ${proxy}`,
      `${userInfo().username}@worker`,
    ];
    const { stdout } = await run('ssh', [...through, 'echo through; head -c 1000000 /dev/zero | wc -c'], { timeout: 30_000 });
    assert.equal(stdout, 'through\n1000000\n');
    const child = spawn('ssh', [...through, 'cat'], { stdio: ['pipe', 'pipe', 'inherit'] });
    child.stdin.end(Buffer.alloc(2_000_000, 'y'));
    assert.equal((await buffer(child.stdout)).length, 2_000_000);
  });
});

/** What `gomote ssh` does: sends the request, waits for the 101, and is a pipe from then on. */
function proxyProgram(port: number, request: string): string {
  return `import { connect } from 'node:net';
const socket = connect(${port}, '127.0.0.1');
socket.write(${JSON.stringify(request)});
let head = Buffer.alloc(0);
socket.on('data', function onData(bytes) {
  head = Buffer.concat([head, bytes]);
  const end = head.indexOf('\\r\\n\\r\\n');
  if (end < 0) return;
  if (!head.toString().startsWith('HTTP/1.1 101 ')) { process.stderr.write(head); process.exit(1); }
  socket.removeListener('data', onData);
  process.stdout.write(head.subarray(end + 4));
  socket.pipe(process.stdout);
  process.stdin.pipe(socket);
});
`;
}

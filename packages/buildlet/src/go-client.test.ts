/** Go's client by its methods, against a machine in memory. Numbers in brackets are of buildlet.md. */
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { createServer } from 'node:http';
import { createServer as createTcpServer, type AddressInfo } from 'node:net';
import { test } from 'node:test';
import { systemClock, type Clock } from '@croft/runtime/clock';
import { CroftError, errorText, isCode, type ErrorCode } from '@croft/runtime/errors';
import { FakeClock } from '@croft/runtime/testing';
import { packTarGz, type TarEntry } from '@croft/streams/tar-pack';
import { createFakeMachine, type FakeCommand, type FakeMachine } from './fake.ts';
import { createGoClient, goAddress, type GoClient, type GoClientOptions } from './go-client.ts';

const withCode =
  (code: ErrorCode, text = /^/) =>
  (error: unknown) =>
    (isCode(error, code) && text.test(errorText(error))) || assert.fail(`not "${code}": ${errorText(error)}`);

const commands: Record<string, FakeCommand> = {
  echo: async ({ args, write }) => {
    await write(`${args.join(' ')}\n`);
    return 0;
  },
  exit: ({ args }) => Number(args[0]),
  crash: () => 'signal: segmentation fault (core dumped)',
  env: async ({ env, write }) => {
    await write(JSON.stringify(env));
    return 0;
  },
  pwd: async ({ dir, write }) => {
    await write(dir);
    return 0;
  },
  'tools/hello.sh': async ({ write }) => {
    await write('hello');
    return 0;
  },
  hang: async ({ signal, write }) => {
    await write('begun');
    await once(signal, 'abort');
    return 'signal: killed';
  },
  flood: async ({ signal, write }) => {
    let written = 0;
    for (; written < 64 && !signal.aborted; written += 1) await write(Buffer.alloc(65_536, written));
    return written;
  },
};

interface Stage extends AsyncDisposable {
  readonly machine: FakeMachine;
  readonly client: GoClient;
  run(command: string, options?: Parameters<GoClient['exec']>[1]): Promise<[state: string, output: string]>;
}

function stage(options: Partial<GoClientOptions> & { clock?: Clock } = {}): Stage {
  const machine = createFakeMachine({ clock: systemClock, commands, password: 'sesame' });
  const client = createGoClient(machine.address, { clock: systemClock, ...options });
  return {
    machine,
    client,
    async run(command, given = {}) {
      let output = '';
      const outcome = await client.exec(command, { systemLevel: true, output: (piece) => void (output += piece.toString()), ...given }, {});
      return [outcome.state, output];
    },
    async [Symbol.asyncDispose]() {
      await client[Symbol.asyncDispose]();
      machine[Symbol.dispose]();
    },
  };
}

test('what a command did is a value, whatever it did', async () => {
  await using at = stage();
  assert.deepEqual(await at.run('echo', { args: ['a', 'b c'] }), ['ok', 'a b c\n']);
  assert.deepEqual(await at.run('exit', { args: ['3'] }), ['exit status 3', '']);
  assert.deepEqual((await at.client.exec('crash', { systemLevel: true }, {})).end, { kind: 'signalled', signal: 'SIGSEGV' });
  const missing = await at.client.exec('nothing', { systemLevel: true }, {});
  assert.deepEqual(missing.end, { kind: 'not-started', reason: 'exec: "nothing": executable file not found in $PATH' });
  assert.deepEqual((await at.client.exec('exit', { args: ['3'], systemLevel: true }, {})).end, { kind: 'exited', code: 3 });
  assert.equal(at.client.isBroken, false);
});

test('that it is not known what a command did is a failure, and the machine is broken', async () => {
  await using at = stage();
  const cut = at.client.exec('hang', { systemLevel: true, output: () => at.machine.become('away') }, {});
  await assert.rejects(cut, withCode('unavailable', /error copying response/));
  assert.ok(at.client.isBroken);
});

test('an answer without trailer is a failure, and one that refuses leaves the machine whole', async () => {
  const server = createServer((_, response) => response.end('output')).listen(0, '127.0.0.1');
  await once(server, 'listening');
  const address = goAddress(`127.0.0.1:${(server.address() as AddressInfo).port}`);
  await using client = createGoClient(address, { clock: systemClock });
  await assert.rejects(client.exec('true', {}, {}), withCode('unavailable', /missing Process-State trailer/));
  assert.ok(client.isBroken);
  server.closeAllConnections();
  server.close();
  await using at = stage();
  await assert.rejects(at.client.exec('', {}, {}), withCode('invalid', /requires 'cmd' parameter/));
  assert.equal(at.client.isBroken, false);
});

test('no head within 20 s is a timeout that breaks the machine', async () => {
  const server = createServer(() => undefined).listen(0, '127.0.0.1');
  await once(server, 'listening');
  const clock = new FakeClock();
  await using client = createGoClient(goAddress(`127.0.0.1:${(server.address() as AddressInfo).port}`), { clock });
  const running = assert.rejects(client.exec('true', {}, {}), withCode('timeout', /waiting for exec header response/));
  await once(server, 'request');
  await clock.advance(20_000);
  await running;
  assert.ok(client.isBroken);
  server.closeAllConnections();
  server.close();
});

test('a command that takes too long is ended, by its own limit and by the caller’s deadline alike', async () => {
  const clock = new FakeClock();
  await using at = stage({ clock });
  const output = (): void => void clock.advance(5_000);
  const limited = at.client.exec('hang', { systemLevel: true, timeoutMs: 5_000, output }, {});
  await assert.rejects(limited, withCode('timeout', /^buildlet: timeout waiting for command to complete$/));
  await using other = stage();
  const signal = systemClock.deadline(100);
  await assert.rejects(other.client.exec('hang', { systemLevel: true }, { signal }), withCode('timeout', /waiting for command/));
  const cancel = new AbortController();
  const stop = (): void => cancel.abort(new CroftError('cancelled', 'nobody wants it'));
  const cancelled = other.client.exec('hang', { systemLevel: true, onStart: stop }, { signal: cancel.signal });
  await assert.rejects(cancelled, withCode('cancelled', /nobody wants it/));
});

test('the command waits while its output is not taken', async () => {
  await using at = stage();
  let pieces = 0;
  let most = 0;
  let inside = 0;
  const output = async (): Promise<void> => {
    most = Math.max(most, (inside += 1));
    await new Promise((resolve) => setImmediate(resolve));
    pieces += 1;
    inside -= 1;
  };
  assert.equal((await at.client.exec('flood', { systemLevel: true, output }, {})).state, 'exit status 64');
  assert.ok(pieces >= 64 && most === 1);
  const failing = at.client.exec('flood', { systemLevel: true, output: () => Promise.reject(new Error('disk full')) }, {});
  await assert.rejects(failing, /disk full/);
});

test('path: absent leaves it alone, empty clears it; env, dir, debug and the hook (3.5)', async () => {
  await using at = stage();
  assert.deepEqual(JSON.parse((await at.run('env', { extraEnv: ['A=1', 'B=x=y'] }))[1]), { A: '1', B: 'x=y' });
  assert.deepEqual(JSON.parse((await at.run('env', { path: [] }))[1]), { PATH: '' });
  assert.deepEqual(JSON.parse((await at.run('env', { path: ['$WORKDIR/bin', '/x'] }))[1]), { PATH: '/workdir/bin:/x' });
  at.machine.tree.makeDirectory('go/src');
  assert.deepEqual(await at.run('pwd', { dir: '/workdir/go/src' }), ['ok', 'go/src']);
  at.machine.tree.makeDirectory('tools');
  assert.deepEqual(await at.run('tools/hello.sh', { systemLevel: false }), ['ok', 'hello']);
  assert.match((await at.run('echo', { args: ['x'], debug: true }))[1], /^:: Running echo with args \["echo" "x"\]\n\nx\n$/);
  const order: string[] = [];
  const note = { onStart: () => void order.push('start'), output: () => void order.push('output') };
  await at.client.exec('echo', { systemLevel: true, ...note }, {});
  assert.deepEqual(order, ['start', 'output']);
});

async function* entries(): AsyncGenerator<TarEntry> {
  const content = Buffer.from('package main\n');
  yield { kind: 'file', path: Buffer.from('src/main.go'), mode: 0o644, size: content.length, mtime: 1_600_000_000, content };
}

test('files go there and back: written, unpacked, fetched, listed with digests, removed', async () => {
  await using at = stage();
  const { client, machine } = at;
  assert.equal(await client.workDir({}), '/workdir');
  await client.put('go/VERSION', { mode: 0o755, content: 'devel' }, {});
  await client.putTar('go', packTarGz(entries()), {});
  const listed = await Array.fromAsync(client.listDir('go', { recursive: true, digest: true }, {}));
  assert.deepEqual(
    listed.map(({ name, perm, isDir, sizeBytes }) => [name, perm, isDir, sizeBytes]),
    [
      ['VERSION', '-rwxr-xr-x', false, 5],
      ['src/', 'drwxr-xr-x', true, undefined],
      ['src/main.go', '-rw-r--r--', false, 13],
    ],
  );
  assert.equal(listed[2]?.mtimeAt, 1_600_000_000_000);
  assert.equal(listed[2]?.digest, createHash('sha1').update('package main\n').digest('hex'));
  const skipped = await Array.fromAsync(client.listDir('go', { recursive: true, skip: ['src'] }, {}));
  assert.deepEqual(
    skipped.map(({ name }) => name),
    ['VERSION'],
  );
  const archive = Buffer.concat(await Array.fromAsync(client.getTar('go', {}), (piece) => Buffer.from(piece)));
  await client.putTar(
    'copy',
    (async function* () {
      yield archive;
    })(),
    {},
  );
  assert.equal(machine.tree.read('copy/src/main.go').toString(), 'package main\n');
  await client.removeAll(['go'], {});
  assert.equal(machine.tree.find('go'), undefined);
  const before = machine.asked.length;
  await client.removeAll([], {});
  assert.equal(machine.asked.length, before, 'without paths nothing is asked');
});

test('an archive is fetched by the machine itself', async () => {
  const archive = Buffer.concat(await Array.fromAsync(packTarGz(entries())));
  const store = createServer((request, response) => response.writeHead(request.url === '/a.tgz' ? 200 : 404).end(archive));
  await once(store.listen(0, '127.0.0.1'), 'listening');
  const base = `http://127.0.0.1:${(store.address() as AddressInfo).port}`;
  await using at = stage();
  await at.client.putTarFromUrl('x', `${base}/a.tgz`, {});
  assert.equal(at.machine.tree.read('x/src/main.go').toString(), 'package main\n');
  await assert.rejects(at.client.putTarFromUrl('x', `${base}/b.tgz`, {}), withCode('internal', /fetching provided URL.*404/));
  store.closeAllConnections();
  store.close();
});

test('a refusal keeps its text and becomes a code (3.4)', async () => {
  await using at = stage();
  await assert.rejects(at.client.put('../x', { mode: 0o644, content: '' }, {}), withCode('invalid', /400 bad path/));
  await assert.rejects(Array.fromAsync(at.client.listDir('/etc', {}, {})), withCode('invalid', /bogus dir/));
  await assert.rejects(Array.fromAsync(at.client.getTar('nowhere', {})), withCode('unavailable'));
  await using stranger = createGoClient({ ...at.machine.address, password: 'wrong' }, { clock: systemClock });
  await assert.rejects(stranger.workDir({}), withCode('forbidden', /invalid password/));
});

test('queries and forms are written as Go writes them (3.4)', async () => {
  await using at = stage({ releaseMode: true });
  await Array.fromAsync(at.client.listDir('', { recursive: true, digest: true, skip: ['pkg', 'x y~*'] }, {}));
  await at.client.put('go/VERSION', { mode: 0o4755, content: 'x' }, {});
  await Array.fromAsync(at.client.getTar('.', {}));
  assert.deepEqual(at.machine.asked, [
    'GET /ls?digest=true&dir=&recursive=true&skip=pkg&skip=x+y~%2A',
    'PUT /write?mode=8389101&path=go%2FVERSION',
    'GET /tgz?dir=.&pargzip=0',
  ]);
});

test('a raw connection is given with what came early, and a refusal is told (3.8)', async () => {
  await using at = stage();
  const line = await at.client.connectSsh('gopher', 'ssh-ed25519 AAAA x', {});
  assert.equal(String((await once(line, 'data'))[0]), 'SSH-2.0-fake\r\n');
  line.destroy();
  await assert.rejects(at.client.connectSsh('gopher', 'a\r\nX-Evil: 1', {}), withCode('invalid'));
  await assert.rejects(at.client.proxyTcp(22, {}), withCode('invalid', /coordinator/));
  await using remote = createGoClient(at.machine.address, { clock: systemClock, remoteName: 'user-gopher-linux-0' });
  await assert.rejects(remote.proxyTcp(22, {}), withCode('unavailable', /wanted 101.*404 Not Found.*404 page not found/));
});

test('the end of the other side is the end of a tunnel (3.8)', async () => {
  const server = createTcpServer((socket) => {
    socket.once('data', () => socket.end('HTTP/1.1 101 Switching Protocols\r\n\r\nSSH-2.0-fake\r\n'));
  });
  await once(server.listen(0, '127.0.0.1'), 'listening');
  const { port } = server.address() as AddressInfo;
  await using client = createGoClient({ host: '127.0.0.1', port, password: '' }, { clock: systemClock });
  const line = await client.connectSsh('gopher', 'key', {});
  line.resume();
  await once(line, 'close', { signal: systemClock.deadline(5_000) });
  server.close();
});

test('a tunnel is not waited for longer than 15 s (3.8)', async () => {
  const clock = new FakeClock();
  await using at = stage({ clock });
  at.machine.become('silent');
  const waiting = assert.rejects(at.client.connectSsh('gopher', 'key', {}), withCode('timeout'));
  await clock.advance(15_000);
  await waiting;
});

test('names and addresses are told as by Go (3.1)', () => {
  const shown = (ipPort: string, tls: boolean): string =>
    createGoClient(goAddress(ipPort, tls ? { certificate: 'c', key: 'abc' } : undefined), { clock: systemClock }).url;
  assert.equal(shown('10.0.0.1:80', false), 'http://10.0.0.1');
  assert.equal(shown('10.0.0.1:80', true), 'https://10.0.0.1:80');
  assert.equal(shown('10.0.0.1:443', true), 'https://10.0.0.1');
  assert.equal(shown('[::1]:8119', false), 'http://[::1]:8119');
  const client = createGoClient(goAddress('h:5936'), { clock: systemClock, description: 'a mac' });
  assert.deepEqual([String(client), client.name, client.ipPort, client.remoteName], ['http://h:5936 a mac', 'h:5936', 'h:5936', '']);
  assert.equal(
    createGoClient({ dial: () => Promise.reject(new Error()), password: '' }, { clock: systemClock }).name,
    '(unnamed-buildlet)',
  );
});

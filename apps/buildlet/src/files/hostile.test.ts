/** Requests for files as a broken or hostile sender makes them: the buildlet keeps serving, and nothing grows or stays open. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { readdirSync } from 'node:fs';
import { mkdir, mkdtemp, readFile, readdir, rm, statfs, symlink, writeFile } from 'node:fs/promises';
import { request as httpRequest, type IncomingMessage } from 'node:http';
import { connect, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { after, before, test } from 'node:test';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { gzipSync } from 'node:zlib';
import fc from 'fast-check';
import { onSmallDisk, run } from '../testing-disk.ts';
import { ask, startMachine, until, type TestMachine } from '../testing.ts';
import { rawEntry, rawTarGz } from '../testing-tar.ts';

let machine: TestMachine;
before(async () => void (machine = await startMachine()));
after(() => machine[Symbol.asyncDispose]());

const work = (...names: string[]): string => join(machine.process.workDir, ...names);
const openFiles = (): number => readdirSync(`/proc/${machine.process.pid}/fd`).length;
const megabyte = 1024 * 1024;

/** Numbers in a row: they do not compress to nothing. */
const filling = (length: number): Buffer => Buffer.from(Array.from({ length }, (_, at) => (at * 2_654_435_761) >>> 13));

function connected(): Socket {
  const socket = connect(machine.process.address.socketPath ?? '');
  return socket.on('error', () => undefined);
}

function head(method: string, path: string, length: number): string {
  const auth = Buffer.from(`x:${machine.process.address.password}`).toString('base64');
  return `${method} ${path} HTTP/1.1\r\nHost: x\r\nAuthorization: Basic ${auth}\r\nContent-Length: ${length}\r\n\r\n`;
}

test('a body that comes byte by byte is unpacked', async () => {
  const body = rawTarGz(rawEntry('slow', { content: 'came' }));
  const { address } = machine.process;
  const request = httpRequest({
    socketPath: address.socketPath,
    method: 'PUT',
    path: '/writetgz?dir=slow',
    auth: `x:${address.password}`,
    agent: false,
  });
  const answered = once(request, 'response');
  for (const byte of body) {
    request.write(Buffer.from([byte]));
    await nextTurn();
  }
  request.end();
  const [response] = (await answered) as [IncomingMessage];
  assert.equal(await text(response), 'OK');
  assert.equal(await readFile(work('slow/slow'), 'utf8'), 'came');
});

test('a sender that ends or breaks its connection within a body leaves nothing open', async () => {
  const content = filling(3 * megabyte);
  const bodies = { '/writetgz?dir=cut': rawTarGz(rawEntry('large', { content })), '/write?path=cut/plain&mode=420': content };
  await ask(machine.process, { path: '/workdir' });
  const before = openFiles();
  for (const [path, body] of Object.entries(bodies)) {
    for (const leave of [(socket: Socket) => socket.end(), (socket: Socket) => socket.destroy()]) {
      const socket = connected();
      await once(socket, 'connect');
      await new Promise(
        (resolve) => void socket.write(Buffer.concat([Buffer.from(head('PUT', path, body.length)), body.subarray(0, -99)]), resolve),
      );
      leave(socket);
      socket.resume();
      await until('the request is over', () => openFiles() <= before);
      socket.destroy();
    }
  }
  assert.deepEqual((await ask(machine.process, { path: '/workdir' })).status, 200);
});

test('a reader that goes away within an archive or a listing leaves nothing open', async () => {
  await mkdir(work('read'));
  await Promise.all(Array.from({ length: 40 }, (_, at) => writeFile(work('read', String(at)), filling(400_000))));
  const before = openFiles();
  for (const path of ['/tgz?dir=read', '/tgz?dir=read&level=0', '/ls?dir=read&digest=1']) {
    for (let round = 0; round < 3; round += 1) {
      const socket = connected();
      socket.write(head('GET', path, 0));
      await once(socket, 'data');
      socket.destroy();
    }
  }
  await until('the readings are over', () => openFiles() <= before);
});

test('two uploads into one directory at once both arrive', async () => {
  const archive = (name: string): Buffer =>
    rawTarGz(
      ...Array.from({ length: 300 }, (_, at) => rawEntry(`shared/${at % 20}/${name}${at}`, { content: `${name}${at}`.repeat(500) })),
    );
  const put = (body: Buffer) => ask(machine.process, { method: 'PUT', path: '/writetgz?dir=both', body });
  const answers = await Promise.all([put(archive('a')), put(archive('b')), put(archive('a'))]);
  assert.deepEqual(
    answers.map(({ status }) => status),
    [200, 200, 200],
  );
  for (const name of ['a', 'b']) {
    for (const at of [0, 150, 299])
      assert.equal(await readFile(work(`both/shared/${at % 20}/${name}${at}`), 'utf8'), `${name}${at}`.repeat(500));
  }
});

test('a bomb ends at the low-water mark, whichever way it comes, and so do two at once', async (context) => {
  await onSmallDisk(context, 96, async (dir) => {
    await using small = await startMachine({ dir, lowWaterBytes: 48 * megabyte });
    const bomb = gzipSync(Buffer.concat([rawEntry('zeros', { size: 300 * megabyte }), Buffer.alloc(300 * megabyte)]), { level: 1 });
    const put = (name: string) => ask(small.process, { method: 'PUT', path: `/writetgz?dir=${name}`, body: bomb });
    const [one, two] = await Promise.all([put('one'), put('two')]);
    assert.deepEqual([one?.status, two?.status], [500, 500]);
    assert.match(`${one?.body}${two?.body}`, /holds more than|no room left|low-water mark/);
    const { bavail, bsize } = await statfs(dir);
    assert.ok(bavail * bsize > 40 * megabyte, `${bavail * bsize} bytes are left`);
    const plain = await ask(small.process, { method: 'PUT', path: '/write?path=x&mode=420', body: Buffer.alloc(60 * megabyte) });
    assert.equal(plain.status, 500);
    assert.match(plain.body, /no room|low-water mark/);
  });
});

test('“.” empties a work directory that is a mount point', async (context) => {
  await onSmallDisk(context, 16, async (dir) => {
    await mkdir(join(dir, 'work'));
    await run('mount', ['-t', 'tmpfs', '-o', 'size=8m', 'tmpfs', join(dir, 'work')]);
    try {
      await using mounted = await startMachine({ dir });
      await mkdir(join(dir, 'work/deep/er'), { recursive: true });
      await writeFile(join(dir, 'work/deep/er/file'), 'x', { mode: 0o400 });
      await writeFile(join(dir, 'work/file'), 'x');
      const answer = await ask(mounted.process, { method: 'POST', path: '/removeall?path=.' });
      assert.deepEqual([answer.status, answer.body], [200, '']);
      assert.deepEqual(await readdir(join(dir, 'work')), []);
    } finally {
      await run('umount', ['-l', join(dir, 'work')]);
    }
  });
});

test('no path through whatever links writes, lists, reads or removes what lies outside', { timeout: 120_000 }, async () => {
  const outside = await mkdtemp(join(tmpdir(), 'croft-outside-'));
  try {
    await writeFile(join(outside, 'precious'), 'TOP SECRET');
    await mkdir(work('maze/a/b'), { recursive: true });
    const links = {
      'maze/out': outside,
      'maze/file': join(outside, 'precious'),
      'maze/a/up': '..',
      'maze/a/far': '../../../..',
      'maze/a/loop': 'loop',
    };
    for (const [path, target] of Object.entries(links)) await symlink(target, work(path));
    const part = fc.constantFrom(
      'a',
      'b',
      'out',
      'up',
      'far',
      'loop',
      'file',
      'precious',
      '..',
      '.',
      '',
      'new',
      'tmp',
      outside.slice(1),
      '%2e%2e',
      '\\',
      '\0',
    );
    await fc.assert(
      fc.asyncProperty(fc.array(part, { maxLength: 6 }), async (parts) => {
        const path = encodeURIComponent(['maze', ...parts].join('/'));
        const asked = [
          ['PUT', `/write?path=${path}&mode=420`],
          ['GET', `/ls?dir=${path}&recursive=1`],
          ['GET', `/tgz?dir=${path}&level=0`],
        ] as const;
        for (const [method, address] of asked) {
          const { body } = await ask(machine.process, { method, path: address, body: method === 'PUT' ? 'evil' : '' });
          assert.ok(!body.includes('\tprecious\t10\t') && !body.includes('TOP SECRET'), `${method} ${address}`);
        }
        assert.deepEqual(await readdir(outside), ['precious']);
        assert.equal(await readFile(join(outside, 'precious'), 'utf8'), 'TOP SECRET');
      }),
      { numRuns: 150 },
    );
    for (const path of ['maze/out/precious', 'maze/a/far', 'maze/file/..', 'maze/a/up/up/../..']) {
      await ask(machine.process, { method: 'POST', path: `/removeall?path=${encodeURIComponent(path)}`, headers: { Connection: 'close' } });
      assert.equal(await readFile(join(outside, 'precious'), 'utf8'), 'TOP SECRET');
    }
    assert.ok((await readdir(work('..'))).includes('work'));
  } finally {
    await rm(outside, { recursive: true });
  }
});

/** Every row of the table of `/writetgz`. buildlet.md 1.7; checklist 5. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { chmod, mkdir, readFile, readlink, readdir, stat, writeFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { gzipSync } from 'node:zlib';
import { SECOND, systemClock } from '@croft/runtime/clock';
import { ask, startMachine, type TestMachine } from '../testing.ts';
import { paxEntry, rawEntry, rawTarGz, tarEnd, type RawEntry } from '../testing-tar.ts';

let machine: TestMachine;
before(async () => void (machine = await startMachine()));
after(() => machine[Symbol.asyncDispose]());

const work = (...names: string[]): string => join(machine.process.workDir, ...names);
let count = 0;

/** Into a fresh directory, as Go's client sends it. */
async function put(body: Buffer, dir = `d${(count += 1)}`): Promise<{ answer: [number, string]; dir: string }> {
  const { status, body: text } = await ask(machine.process, { method: 'PUT', path: `/writetgz?dir=${dir}`, body });
  return { answer: [status, text], dir };
}

async function answers(body: Buffer, status: number, text: string | RegExp): Promise<string> {
  const { answer, dir } = await put(body);
  if (typeof text === 'string') assert.deepEqual(answer, [status, text]);
  else {
    assert.equal(answer[0], status, answer[1]);
    assert.match(answer[1], text);
  }
  return dir;
}

const small = rawEntry('a', { content: 'hello' });
const one = (name: string, entry: RawEntry = {}): Buffer => rawTarGz(rawEntry(name, entry));

test('what is no gzip, and what is a damaged one, is 400 with Go’s texts', async () => {
  await answers(Buffer.from('plain text'), 400, 'requires gzip-compressed body: gzip: invalid header\n');
  await answers(Buffer.alloc(0), 400, 'requires gzip-compressed body: EOF\n');
  await answers(gzipSync(Buffer.alloc(512, 'x')), 400, 'tar error: archive/tar: invalid tar header\n');
  await answers(rawTarGz(small).subarray(0, 40), 400, 'tar error: unexpected EOF\n');
  await answers(gzipSync(small.subarray(0, 700)), 400, 'tar error: unexpected EOF\n');
});

test('a gzip of nothing is an archive of nothing', async () => {
  assert.deepEqual(await readdir(work(await answers(gzipSync(''), 200, 'OK'))), []);
});

test('several members are one stream, and what follows the archive is ignored', async () => {
  const plain = Buffer.concat([small, rawEntry('b', { content: 'B'.repeat(5_000) }), tarEnd]);
  const members = [plain.subarray(0, 300), plain.subarray(300, 1_100), plain.subarray(1_100)].map((part) => gzipSync(part));
  const dir = await answers(Buffer.concat([...members, Buffer.from('trailing')]), 200, 'OK');
  assert.equal(await readFile(work(dir, 'b'), 'utf8'), 'B'.repeat(5_000));
  await answers(gzipSync(Buffer.concat([small, tarEnd, Buffer.from('no tar at all')])), 200, 'OK');
});

test('global records are skipped, bad names are told', async () => {
  const dir = await answers(rawTarGz(paxEntry({ comment: 'of git', path: 'x' }, 'g'), small), 200, 'OK');
  assert.deepEqual(await readdir(work(dir)), ['a']);
  for (const name of ['../x', '/x', 'a/../../x']) await answers(one(name), 400, `tar file contained invalid name "${name}"\n`);
});

test('a file gets its permissions less the umask, one that is there keeps its own and is written anew', async () => {
  const dir = await answers(one('new/deep/set', { mode: 0o6777, content: 'x' }), 200, 'OK');
  const modeOf = async (...names: string[]): Promise<number> => (await stat(work(...names))).mode & 0o7777;
  assert.deepEqual([await modeOf(dir, 'new'), await modeOf(dir, 'new/deep/set')], [0o755, 0o755]);
  await writeFile(work(dir, 'old'), 'longer than what comes');
  await chmod(work(dir, 'old'), 0o600);
  await put(one('old', { mode: 0o755, content: 'new' }), dir);
  assert.deepEqual([await modeOf(dir, 'old'), await readFile(work(dir, 'old'), 'utf8')], [0o600, 'new']);
});

test('times: 1970 stays, one to come is now, access is modification; a directory’s mode and time are not taken', async () => {
  const startedAt = systemClock.now();
  const future = Math.floor(startedAt / SECOND) + 5_000;
  const entries = [rawEntry('zero'), rawEntry('future', { mtime: future }), rawEntry('d/', { type: '5', mode: 0o700, mtime: 5 })];
  const dir = await answers(rawTarGz(...entries, rawEntry('d/past', { mtime: 1_000 })), 200, 'OK');
  const times = async (name: string): Promise<[number, number]> => stat(work(dir, name)).then(({ mtimeMs, atimeMs }) => [mtimeMs, atimeMs]);
  assert.deepEqual(
    [await times('zero'), await times('d/past')],
    [
      [0, 0],
      [1_000_000, 1_000_000],
    ],
  );
  const [mtimeMs] = await times('future');
  assert.ok(mtimeMs >= startedAt - 1 && mtimeMs <= systemClock.now(), String(mtimeMs));
  assert.equal((await stat(work(dir, 'd'))).mode & 0o777, 0o755);
});

test('links inside are kept; those that lead out are left out of a Go client’s archive and refused in ours', async () => {
  const links = [
    rawEntry('in', { type: '2', target: 'a' }),
    rawEntry('out', { type: '2', target: '../../x' }),
    rawEntry('abs', { type: '2', target: '/etc' }),
  ];
  const dir = await answers(rawTarGz(...links, small), 200, 'OK');
  assert.deepEqual([(await readdir(work(dir))).toSorted(), await readlink(work(dir, 'in'))], [['a', 'in'], 'a']);
  const ours = { method: 'PUT', path: '/writetgz?dir=ours', headers: { 'Croft-Epoch': '1' }, body: rawTarGz(...links) };
  assert.equal((await ask(machine.process, ours)).status, 400);
});

test('hard links lead to files of the tree, or are refused', async () => {
  const dir = await answers(rawTarGz(small, rawEntry('h', { type: '1', target: 'a' })), 200, 'OK');
  assert.equal((await stat(work(dir, 'h'))).ino, (await stat(work(dir, 'a'))).ino);
  for (const target of ['../other', '/etc/passwd', 'nothing']) await answers(one('h', { type: '1', target }), 400, /is a hard link to/);
});

test('what is neither file, directory nor link is refused by its type', async () => {
  await answers(one('ff', { type: '6' }), 400, 'tar file entry ff contained unsupported file type prw-r--r--\n');
  await answers(one('cc', { type: '3', mode: 0o666 }), 400, 'tar file entry cc contained unsupported file type Dcrw-rw-rw-\n');
  await answers(one('bb', { type: '4', mode: 0o660 }), 400, 'tar file entry bb contained unsupported file type Drw-rw----\n');
});

test('failures of the system are 500 in its words, and what was written before stays', async () => {
  await mkdir(work('taken/a'), { recursive: true });
  const { answer } = await put(rawTarGz(rawEntry('before', { content: 'x' }), small), 'taken');
  assert.deepEqual(answer, [500, `open ${work('taken/a')}: is a directory\n`]);
  assert.equal(await readFile(work('taken/before'), 'utf8'), 'x');
  await writeFile(work('flat'), '');
  assert.deepEqual((await put(rawTarGz(small), 'flat')).answer, [500, `mkdir of base: mkdir ${work('flat')}: not a directory\n`]);
});

test('bad directories and methods are refused', async () => {
  for (const dir of ['..', '%2F', 'a/../..']) assert.equal((await put(rawTarGz(small), dir)).answer[0], 400, dir);
  const got = await ask(machine.process, { path: '/writetgz' });
  assert.deepEqual([got.status, got.body], [400, 'requires PUT or POST method\n']);
});

test('an address is fetched as it is; “go1.4” that is there is skipped, literally', async () => {
  const asked: string[] = [];
  const server = createServer((request, response) => {
    asked.push(`${request.method} ${request.url} ${request.headers['accept-encoding']} ${request.headers['user-agent']}`);
    response.end(rawTarGz(small));
  }).listen(0, '127.0.0.1');
  await once(server, 'listening');
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/a%20b.tgz?X-Signature=a%2Bb`;
  const post = async (dir: string, body = new URLSearchParams({ url }).toString()): Promise<string> => {
    const headers = { 'Content-Type': 'application/x-www-form-urlencoded' };
    return (await ask(machine.process, { method: 'POST', path: `/writetgz?dir=${dir}`, headers, body })).body;
  };
  try {
    assert.equal(await post('go1.4'), 'OK');
    assert.deepEqual(asked.splice(0), ['GET /a%20b.tgz?X-Signature=a%2Bb undefined croft-buildlet']);
    assert.equal(await post('go1.4'), 'SKIP');
    assert.deepEqual(asked, []);
    assert.deepEqual([await post('go1.4/'), await post('')], ['OK', 'OK']);
    assert.equal(asked.length, 2);
    assert.equal(await post('other', 'x=1'), 'missing url POST param\n');
  } finally {
    server.close();
    server.closeAllConnections();
  }
});
